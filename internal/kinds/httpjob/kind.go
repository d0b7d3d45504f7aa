package httpjob

import (
	"context"

	"github.com/riverqueue/river"

	"github.com/tidemill/tidemill/workers/kind"
)

// Kind is the kind of jobs that send a request.
func Kind() kind.Kind {
	return kind.Kind{
		Kind:     configKind(),
		Register: register,
	}
}

func register(_ context.Context, workers *river.Workers, deps *kind.Deps) error {
	return river.AddWorkerSafely(workers, NewWorker(deps, nil))
}
