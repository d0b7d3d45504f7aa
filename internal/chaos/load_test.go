package chaos

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/riverqueue/river"
)

// load keeps bringing in work of all sorts, until it is stopped. The database may be away at any time: what counts as
// brought in is what was said to be committed.
type load struct {
	s      *seeded
	cancel context.CancelFunc
	done   sync.WaitGroup

	mu    sync.Mutex
	ids   map[string][]int64 // by what they are
	files int
	lost  int // attempts to bring in something of which nothing is known
}

const (
	fileRows       = 3000
	fileDuplicates = 30
	fileBad        = 20
)

func newLoad(s *seeded) *load {
	ctx, cancel := context.WithCancel(context.Background())
	l := &load{s: s, cancel: cancel, ids: map[string][]int64{}}
	l.done.Go(func() {
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for n := 0; ; n++ {
			select {
			case <-tick.C:
				l.bring(n)
			case <-ctx.Done():
				return
			}
		}
	})
	return l
}

func (l *load) stop() {
	l.cancel()
	l.done.Wait()
}

func (l *load) bring(n int) {
	if n%2 == 0 {
		l.add("touch", l.s.insertOne(touchArgs{Most: 1500}))
	}
	for name, every := range map[string]int{"call": 20, "stubborn": 50, "fan": 120, "wade": 50} {
		if n%every == every/2 {
			l.add(name, l.s.startOne(name))
		}
	}
	if n%70 == 10 {
		if err := l.file(); err != nil {
			l.add("file", func(context.Context) (int64, error) { return 0, err })
		}
	}
}

// add brings in one job, and remembers it if that is certain.
func (l *load) add(what string, do func(ctx context.Context) (int64, error)) {
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	defer cancel()
	id, err := do(ctx)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.lost++
		return
	}
	l.ids[what] = append(l.ids[what], id)
}

// aside is add for who must not wait.
func (l *load) aside(what string, do func(ctx context.Context) (int64, error)) {
	l.done.Go(func() { l.add(what, do) })
}

// retry does something that must be done, however long the database is away.
func (l *load) retry(do func(ctx context.Context) error) {
	for range 100 {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		err := do(ctx)
		cancel()
		if err == nil {
			return
		}
		pause(200 * time.Millisecond)
	}
}

// file puts a file where the import looks for them: some rows repeat a key, some cannot be rows.
func (l *load) file() error {
	l.mu.Lock()
	first := int64(l.files) * fileRows
	name := fmt.Sprintf("%05d.csv", l.files)
	l.files++
	l.mu.Unlock()
	var text strings.Builder
	text.WriteString("id,n\n")
	for n := range int64(fileRows) {
		switch {
		case n < fileRows-fileDuplicates-fileBad:
			fmt.Fprintf(&text, "%d,%d\n", first+n, n)
		case n < fileRows-fileBad:
			fmt.Fprintf(&text, "%d,-1\n", first+n%fileDuplicates)
		default:
			fmt.Fprintf(&text, "%d,none\n", first+n)
		}
	}
	part := filepath.Join(l.s.dropFolder(), name+".part")
	return errors.Join(os.WriteFile(part, []byte(text.String()), 0o600), os.Rename(part, strings.TrimSuffix(part, ".part")))
}

func (s *seeded) insertOne(args river.JobArgs) func(ctx context.Context) (int64, error) {
	return func(ctx context.Context) (int64, error) {
		opts := &river.InsertOpts{MaxAttempts: 100}
		if nul, ok := args.(nulArgs); ok && nul.Panic {
			opts.MaxAttempts = 1
		}
		result, err := s.client.Insert(ctx, args, opts)
		if err != nil {
			return 0, err
		}
		return result.Job.ID, nil
	}
}

func (s *seeded) startOne(job string) func(ctx context.Context) (int64, error) {
	return func(ctx context.Context) (id int64, err error) {
		return id, s.pool.QueryRow(ctx, `SELECT tidemill.start($1)`, job).Scan(&id)
	}
}
