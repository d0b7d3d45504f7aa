package kind

import (
	"errors"

	"github.com/tidemill/tidemill/batch"
)

// IsStop reports whether err is how Chunk says that it committed and that the run should end here.
func IsStop(err error) bool {
	return errors.Is(err, batch.ErrPaused) || errors.Is(err, batch.ErrCancelled) || errors.Is(err, batch.ErrDraining)
}
