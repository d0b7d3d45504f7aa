import { DatabaseError } from "pg";
import { transaction } from "../../../lib/db";
import { start } from "../../../lib/tidemill";

const foreignKeyViolation = "23503";

/** POST {"email": …, "plan": …} */
export async function POST(request: Request): Promise<Response> {
  const { email, plan } = await request.json();
  try {
    const id = await transaction(async (client) => {
      const { rows } = await client.query("INSERT INTO app.users (email) VALUES ($1) RETURNING id", [email]);
      const user = Number(rows[0].id);
      await start(client, "welcome", { user });
      await client.query("INSERT INTO app.subscriptions (user_id, plan) VALUES ($1, $2)", [user, plan]);
      return user;
    });
    return Response.json({ id }, { status: 201 });
  } catch (error) {
    if (error instanceof DatabaseError && error.code === foreignKeyViolation) {
      return Response.json({ error: "there is no such plan" }, { status: 422 }); // no user, and no job
    }
    throw error;
  }
}
