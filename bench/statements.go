package main

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// statementTimes are how long the server took for each statement of a session, in ms.
type statementTimes struct {
	mu      sync.Mutex
	pending float64 // of binding, which plans: it is told before the execution
	of      map[string][]float64
}

var durationNotice = regexp.MustCompile(`(?s)^duration: ([\d.]+) ms  (bind|execute) [^:]*: (.*)`)

// listenToStatements has the server tell its sessions how long their statements take. It takes a superuser.
func listenToStatements(config *pgx.ConnConfig) *statementTimes {
	s := &statementTimes{of: map[string][]float64{}}
	config.RuntimeParams["client_min_messages"] = "log"
	config.RuntimeParams["log_min_duration_statement"] = "0"
	config.OnNotice = func(_ *pgconn.PgConn, notice *pgconn.Notice) {
		found := durationNotice.FindStringSubmatch(notice.Message)
		if found == nil {
			return
		}
		ms, err := strconv.ParseFloat(found[1], 64)
		if err != nil {
			return
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if found[2] == "bind" {
			s.pending = ms
			return
		}
		text := strings.ReplaceAll(strings.Join(strings.Fields(found[3]), " "), "|", "\\|")
		s.of[text] = append(s.of[text], s.pending+ms)
		s.pending = 0
	}
	return s
}

// slowest returns the times of the statement with the highest median, and all statements as rows of a table.
func (s *statementTimes) slowest() (slowest []float64, all []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	texts := []string{}
	for text := range s.of {
		texts = append(texts, text)
	}
	slices.SortFunc(texts, func(x, y string) int {
		return int(1000 * (quantile(s.of[y], .5) - quantile(s.of[x], .5)))
	})
	for _, text := range texts {
		times := s.of[text]
		all = append(all, fmt.Sprintf("`%.70s` | %d | %.2f | %.2f |", text, len(times), quantile(times, .5), quantile(times, .99)))
	}
	if len(texts) == 0 {
		return []float64{0}, nil
	}
	return s.of[texts[0]], all
}
