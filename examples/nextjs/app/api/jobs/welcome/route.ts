import { WebhookVerificationError } from "standardwebhooks";
import { transaction } from "../../../../lib/db";
import { receive, type Run } from "../../../../lib/tidemill";

/** Does the job welcome. An error, which Next.js answers with 500, makes Tidemill try again. */
export async function POST(request: Request): Promise<Response> {
  let run: Run<{ user: number }>;
  try {
    run = await receive(request);
  } catch (error) {
    if (!(error instanceof WebhookVerificationError)) throw error;
    return Response.json({ error: error.message }, { status: 401 });
  }
  // A run may be delivered twice. Its id stays the same, and is remembered in the transaction that does the work.
  const first = await transaction(async (client) => {
    const { rowCount } = await client.query(
      "INSERT INTO app.welcomes (id, user_id) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING",
      [run.id, run.params.user],
    );
    return rowCount === 1;
  });
  return Response.json({ first });
}
