package tidemill

import (
	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river/rivertype"
	"github.com/tidwall/gjson"

	"github.com/tidemill/tidemill/internal/retention"
	"github.com/tidemill/tidemill/retry"
	"github.com/tidemill/tidemill/workers/kind"
)

// retries decides when a job is retried: by the configured job's own retry if it sets delays, else by the worker's NextRetry,
// else by the top-level retry.
func (a *App) retries() *retry.Plugin {
	return retry.NewPlugin(retry.PluginOpts{
		Clock:   a.Now,
		Default: kind.RetryPolicy(a.Config.Retry),
		Own: func(row *rivertype.JobRow) (retry.Policy, bool) {
			job, ok := a.Config.Jobs[gjson.GetBytes(row.Metadata, "tidemill.job").String()]
			if !ok || !job.OwnDelays {
				return retry.Policy{}, false
			}
			return kind.RetryPolicy(job.Retry), true
		},
	})
}

// sweeper deletes what the configuration keeps no longer, through sessions of conn.
func (a *App) sweeper(conn *pgx.ConnConfig, watch *watch) *retention.Sweeper {
	common := retention.Limits(a.Config.Retention)
	jobs := map[string]retention.Limits{}
	for name, job := range a.Config.Jobs {
		if own := retention.Limits(job.Retention); own != common {
			jobs[name] = own
		}
	}
	return retention.New(retention.Opts{
		Conn: conn, Session: watch.session, Schema: a.schema, Logger: a.logger, Limits: common, Jobs: jobs, OnSwept: watch.swept,
	})
}
