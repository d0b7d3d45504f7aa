package batch

import (
	"fmt"
	"math"
	"time"
)

// Counters say what became of every row read. At the end of a run
// Read = Inserted + Updated + Unchanged + Duplicate + Rejected + Filtered + Processed + Deleted, or the run fails.
type Counters struct {
	Read      int64 `json:"read"`
	Inserted  int64 `json:"inserted,omitempty"`
	Updated   int64 `json:"updated,omitempty"`
	Unchanged int64 `json:"unchanged,omitempty"` // was there already with the same values, or could not be deleted
	Duplicate int64 `json:"duplicate,omitempty"` // its key was there already, or earlier in the input
	Rejected  int64 `json:"rejected,omitempty"`  // put aside with a reason
	Filtered  int64 `json:"filtered,omitempty"`  // swallowed by a trigger of the table
	Processed int64 `json:"processed,omitempty"` // handed to a function of the user's
	Deleted   int64 `json:"deleted,omitempty"`
}

// Plus returns the sum of c and d.
func (c Counters) Plus(d Counters) Counters {
	return Counters{
		Read: c.Read + d.Read, Inserted: c.Inserted + d.Inserted, Updated: c.Updated + d.Updated,
		Unchanged: c.Unchanged + d.Unchanged, Duplicate: c.Duplicate + d.Duplicate, Rejected: c.Rejected + d.Rejected,
		Filtered: c.Filtered + d.Filtered, Processed: c.Processed + d.Processed, Deleted: c.Deleted + d.Deleted,
	}
}

// Check returns an error unless the counters balance.
func (c Counters) Check() error {
	sum := c.Inserted + c.Updated + c.Unchanged + c.Duplicate + c.Rejected + c.Filtered + c.Processed + c.Deleted
	if sum != c.Read {
		return fmt.Errorf("counters do not balance: %d rows read, %d accounted for (%+v); please report this", c.Read, sum, c)
	}
	return nil
}

// rateWindow is the time over which an old rate fades from the moving average.
const rateWindow = 20 * time.Second

// nextRate folds the work of the last interval into an exponential moving average, per second. The weight follows the
// interval's length, so that chunks of any duration count the same per second.
func nextRate(rate float64, done int64, took time.Duration) float64 {
	if took <= 0 {
		return rate
	}
	now := float64(done) / took.Seconds()
	if rate <= 0 {
		return now
	}
	weight := 1 - math.Exp(-took.Seconds()/rateWindow.Seconds())
	return rate + weight*(now-rate)
}
