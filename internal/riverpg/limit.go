package riverpg

import (
	"context"
	"fmt"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
)

// SizeError refuses a job whose arguments are longer than max_args.
type SizeError struct {
	What string // what is too long, for people
	Size int
	Max  int
}

func (e *SizeError) Error() string {
	return fmt.Sprintf("%s: %d bytes, and max_args is %d; store them, in a table or a file, and pass their key", e.What, e.Size, e.Max)
}

// Is makes a SizeError an ErrTooLong.
func (e *SizeError) Is(target error) bool { return target == ErrTooLong }

// CheckSize returns a *SizeError if size is more than most, which is DefaultMaxArgs if it is 0.
func CheckSize(what string, size, most int) error {
	if most == 0 {
		most = DefaultMaxArgs
	}
	if size > most {
		return &SizeError{What: what, Size: size, Max: most}
	}
	return nil
}

// Limit is a River plugin that refuses inserts of jobs with too long arguments.
type Limit struct {
	river.PluginDefaults
	most int
}

var (
	_ rivertype.Plugin              = (*Limit)(nil)
	_ rivertype.JobInsertMiddleware = (*Limit)(nil)
)

// NewLimit returns the plugin; most is as in Opts.MaxArgs.
func NewLimit(most int) *Limit { return &Limit{most: most} }

// InsertMany looks at all jobs before any is inserted. Metadata and tags count, too: whoever runs the job reads them as well.
func (l *Limit) InsertMany(ctx context.Context, jobs []*rivertype.JobInsertParams, doInner func(context.Context) ([]*rivertype.JobInsertResult, error)) ([]*rivertype.JobInsertResult, error) {
	for _, job := range jobs {
		size := len(job.EncodedArgs) + len(job.Metadata)
		for _, tag := range job.Tags {
			size += len(tag)
		}
		if err := CheckSize("the arguments of a job of kind "+job.Kind, size, l.most); err != nil {
			return nil, err
		}
	}
	return doInner(ctx)
}
