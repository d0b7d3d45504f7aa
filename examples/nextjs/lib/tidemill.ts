import type { ClientBase } from "pg";
import { Webhook } from "standardwebhooks";

export interface Options {
  /** When the job is due; default now. */
  at?: Date;
  /** One of tidemill.yaml; default the job's own. */
  queue?: string;
  /** From 1, which is first, to 4; default the job's own. */
  priority?: number;
  /** Whether the workers are woken, or find the job when they next look; default as configured. */
  notify?: boolean;
}

export interface EnqueueOptions extends Options {
  maxAttempts?: number;
  /** While a job of this kind and key is live, its id is returned instead. */
  uniqueKey?: string;
  tags?: string[];
}

/** The body of a request of a job of kind http. */
export interface Run<P> {
  /** What to remember: it stays the same when the request is repeated, and no other run ever has it. */
  id: string;
  /** The number of the run, as start returned it. */
  run: string;
  job: string;
  params: P;
  attempt: number;
  scheduled_for: string;
}

/**
 * Starts a configured job in the client's transaction: its run is there when that commits, and not otherwise. It takes a
 * client and no pool, for each query of a pool is a transaction of its own. Returns the id of the run.
 */
export async function start(client: ClientBase, job: string, params: object = {}, options: Options = {}): Promise<string> {
  const { rows } = await client.query(
    "SELECT tidemill.start($1, params => $2, scheduled_at => $3, queue => $4, priority => $5, notify => $6) AS id",
    [job, JSON.stringify(params), options.at, options.queue, options.priority, options.notify],
  );
  return rows[0].id;
}

/** Inserts a job of a kind that a Go program registered, as start does. Returns the id of the job. */
export async function enqueue(client: ClientBase, kind: string, args: object = {}, options: EnqueueOptions = {}): Promise<string> {
  const { rows } = await client.query(
    `SELECT tidemill.enqueue($1, args => $2, scheduled_at => $3, queue => $4, priority => $5, notify => $6,
       max_attempts => $7, unique_key => $8, tags => $9) AS id`,
    [
      kind, JSON.stringify(args), options.at, options.queue, options.priority, options.notify,
      options.maxAttempts, options.uniqueKey, options.tags,
    ],
  );
  return rows[0].id;
}

/** Cancels a job or run when the client's transaction commits. Returns false if it had ended. */
export async function cancel(client: ClientBase, id: string): Promise<boolean> {
  const { rows } = await client.query("SELECT tidemill.cancel($1) AS cancelled", [id]);
  return rows[0].cancelled;
}

/**
 * Reads the request of a job of kind http. Throws a WebhookVerificationError if it is not signed with WEBHOOK_SECRET, or
 * more than five minutes ago.
 */
export async function receive<P>(request: Request): Promise<Run<P>> {
  const secret = process.env.WEBHOOK_SECRET; // read here, for next build has no secrets
  if (!secret) throw new Error("WEBHOOK_SECRET is not set");
  return new Webhook(secret).verify(await request.text(), Object.fromEntries(request.headers)) as Run<P>;
}
