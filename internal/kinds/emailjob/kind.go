package emailjob

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"

	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/config/field"
	"github.com/tidemill/tidemill/workers/kind"
)

// Kind is the kind of jobs that send a mail.
func Kind() kind.Kind {
	return kind.Kind{
		Kind:     configKind(),
		Register: register,
		CheckLive: func(_ context.Context, _ *pgxpool.Pool, cfg *config.Config, job *config.Job) (field.Errors, error) {
			if problem := CheckLive(cfg.Mail, []*config.Job{job}); problem != nil {
				return field.Errors{cfg.Errorf([]string{"jobs", job.Name}, "see it with: tidemill mail preview "+job.Name, "%v", problem)}, nil
			}
			return nil, nil
		},
		Mail: &kind.Mail{
			Preview: func(job *config.Job, m config.Mail, params []byte, due time.Time) (*kind.MailPreview, error) {
				return PreviewMail(job, m, params, due)
			},
			SendTest: SendTest,
		},
	}
}

func register(_ context.Context, workers *river.Workers, deps *kind.Deps) error {
	worker, err := NewWorker(deps)
	if err != nil {
		return err
	}
	return river.AddWorkerSafely(workers, worker)
}
