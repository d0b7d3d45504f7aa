package kind

import (
	"context"
	"io"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tidemill/tidemill/batch"
	"github.com/tidemill/tidemill/config"
)

// Input is how jobs of a kind are given a file at their start.
type Input struct {
	// Start stores the file and starts a run for it.
	Start func(ctx context.Context, deps *Deps, job *config.Job, name string, r io.Reader, opts InputOpts) (*batch.Started, error)
	// Preview says what a start with the file would do, and does nothing.
	Preview func(context.Context, *pgxpool.Pool, *config.Job, PreviewOpts) (*Preview, error)
	// Found are the runs that a run without a file, which looks for files itself, has started, and how many more there are.
	Found func(*batch.Info) (runs []int64, more int64, err error)
	// WriteRejects writes the rejects of a run as a file of the same form, and returns how many there were.
	WriteRejects func(ctx context.Context, ledger *batch.Ledger, run int64, w io.Writer) (int64, error)
}

// InputOpts says how a run for a file is started.
type InputOpts struct {
	Force    bool        // also for content that a run has had
	Trigger  string      // who asks, for the ledger; default go
	Progress func(int64) // told the bytes stored so far
	// RejectsOf is the run whose corrected rejects the file holds; 0: none.
	RejectsOf int64
}

// PreviewOpts names the file of a preview.
type PreviewOpts struct {
	Name string
	Size int64
	// Open gives the file's bytes from an offset on; it is called more than once.
	Open func(offset int64) (io.ReadCloser, error)
	// Rows is how many are tried; default 1,000.
	Rows int
}

// Preview is what a start with a file would do.
type Preview struct {
	Format      string         `json:"format"`
	Encoding    string         `json:"encoding"`
	Compression string         `json:"compression"`
	Delimiter   string         `json:"delimiter,omitempty"`
	Found       string         `json:"found,omitempty"` // what was found out about the file, and why
	Fields      []PreviewField `json:"fields"`
	Unused      []string       `json:"unused"`            // fields of the file that go nowhere
	Lacking     []string       `json:"lacking,omitempty"` // optional fields that the file does not have
	// Counters are those of the first rows, as many as Counters.Read says, had they been written.
	Counters batch.Counters `json:"counters"`
	Rejects  []batch.Reject `json:"rejects"`
	Altered  Altered        `json:"altered"` // of those rows
	// Rows is how many the file has; an estimate unless Whole.
	Rows  int64 `json:"rows"`
	Whole bool  `json:"whole"`
}

// Altered counts values that a run changed, by how; printed, it is a sentence or nothing.
type Altered interface{ String() string }

// PreviewField is where a field of the file goes.
type PreviewField struct {
	Field  string `json:"field"`
	Column string `json:"column"`
	Type   string `json:"type"`
	First  string `json:"first"` // its value in the first row
	// Value is what the column gets of it; nil for NULL, or if it is not written as the definition says.
	Value *string `json:"value"`
}
