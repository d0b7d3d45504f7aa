-- The tables of the sign-up that the examples have in common.
CREATE SCHEMA app;
CREATE TABLE app.users (
    id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    email text NOT NULL UNIQUE
);
CREATE TABLE app.plans (name text PRIMARY KEY);
INSERT INTO app.plans VALUES ('basic'), ('team');
CREATE TABLE app.subscriptions (
    user_id bigint PRIMARY KEY REFERENCES app.users,
    plan    text NOT NULL REFERENCES app.plans -- a plan that is unknown undoes the sign-up, the job included
);
-- What the job does. A run may be delivered twice; its id makes the second time harmless.
CREATE TABLE app.welcomes (
    id      text PRIMARY KEY,
    user_id bigint NOT NULL REFERENCES app.users
);
