package kind_test

import (
	"context"
	"fmt"
	"strings"

	"github.com/riverqueue/river"

	"github.com/tidemill/tidemill/batch"
	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/config/field"
	"github.com/tidemill/tidemill/workers/kind"
)

// Shout is what the jobs of the kind have in tidemill.yaml.
type Shout struct{ Words string }

func shoutFields() field.Table[Shout] {
	return field.Table[Shout]{
		field.Row("words", field.Text{}, "", "What to shout.", func(s *Shout) *string { return &s.Words }).Require(),
	}
}

// Check reports what is wrong with a job beyond the types of its fields.
func (s *Shout) Check(check *config.Checker, _ *config.Job, at field.Path) {
	if check.Checkable(at, "words") && strings.ToUpper(s.Words) != s.Words {
		check.Problem(at.Join("words"), "write it as "+strings.ToUpper(s.Words), "has small letters")
	}
}

// Identity is what a run keeps its meaning by.
func (s *Shout) Identity() (string, any) { return "Shout", s.Words }

// Limits may change while a run is live.
func (s *Shout) Limits() []any { return nil }

type shoutArgs struct{ kind.Args }

func (shoutArgs) Kind() string { return kind.RiverPrefix + "shout" }

// ShoutWorker works the jobs.
type ShoutWorker struct {
	kind.Chunked[shoutArgs]

	deps *kind.Deps
}

// Work makes one attempt.
func (w *ShoutWorker) Work(ctx context.Context, job *river.Job[shoutArgs]) error {
	return w.Run(ctx, job, w.deps.Jobs, "shout", batch.AttemptOpts{}, func(ctx context.Context, def *config.Job, run *batch.Run) error {
		fmt.Println(def.Spec.(*Shout).Words)
		return run.Finish(ctx, batch.Finish{})
	})
}

// A program brings a kind of its own with tidemillcmd.Main(nil, shout()); docs/KINDS.md goes through a whole one.
func ExampleKind() {
	shout := kind.Kind{
		Kind: config.NewKind[Shout](config.Kind{Name: "shout", Doc: "Shouts.", Chunked: true}, shoutFields()),
		Register: func(_ context.Context, workers *river.Workers, deps *kind.Deps) error {
			return river.AddWorkerSafely(workers, &ShoutWorker{deps: deps})
		},
	}

	_, err := config.Parse("tidemill.yaml", []byte("database: {url: postgres://localhost/app}\njobs:\n  greet: {kind: shout, words: Hello}\n"),
		&config.Opts{Kinds: kind.Configs([]kind.Kind{shout})})
	fmt.Println(err)

	// Output: tidemill.yaml:3:24: jobs.greet.words: has small letters (write it as HELLO)
}
