// Package periodic starts work when it is due, and loses no tick.
//
// A schedule is a row with its next tick. Any number of processes run a [Scheduler] on the same database and none leads: each
// looks for what is due, and one transaction compares and sets the next tick and inserts job, run and tick. A tick is
// enqueued exactly once, whatever dies when. What came due while nobody was there is caught up, or recorded as missed.
//
// [ApplyTx] writes definitions, a [Admin] shows and steers them, package internal/cron says what the expressions mean. It
// can be added alone to an application that runs River:
//
//	migrations.Up(ctx, pool, migrations.Schema{River: "public"}, nil)
//	periodic.ApplyTx(ctx, tx, schema, []periodic.Definition{{
//		Name: "nightly", Spec: periodic.Spec{Cron: "0 3 * * *", Timezone: "Europe/Berlin"}, Kind: "report",
//	}})
//	go periodic.New(periodic.Opts{Conn: pool.Config().ConnConfig, Schema: schema}).Run(ctx)
package periodic
