package migrations

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// BlockedError is returned when others held a lock for so long that a change of the database was given up. Nothing was changed.
type BlockedError struct {
	Doing   string
	Waited  time.Duration
	Holders []Holder // the oldest transactions first
	Err     error    // of the last try
}

func (e *BlockedError) Error() string {
	return fmt.Sprintf("%s: others held a lock on its tables for %s, so nothing was changed; %s; end that transaction, or try again later (%v)",
		e.Doing, e.Waited.Round(time.Second), e.who(), e.Err)
}

func (e *BlockedError) Unwrap() error { return e.Err }

func (e *BlockedError) who() string {
	if len(e.Holders) == 0 {
		return "whoever held it has let go meanwhile"
	}
	words := make([]string, len(e.Holders))
	for i, holder := range e.Holders {
		words[i] = holder.String()
	}
	return strings.Join(words, "; ")
}

// Holder is a session, or a prepared transaction, that has locked tables. What the asking role may not see is empty.
type Holder struct {
	PID         *int32 // nil: a prepared transaction
	Prepared    string // its name
	Application string
	Role        string
	State       string
	Since       *time.Time // when the transaction began
	Age         *time.Duration
	Query       string // the last one, shortened
	Tables      []string
}

func (h Holder) String() string {
	var b strings.Builder
	if h.PID == nil {
		fmt.Fprintf(&b, "prepared transaction %q of role %s", h.Prepared, h.Role)
	} else {
		fmt.Fprintf(&b, "session %d of role %s", *h.PID, h.Role)
		if h.Application != "" {
			fmt.Fprintf(&b, " (%s)", h.Application)
		}
	}
	fmt.Fprintf(&b, " holds %s", strings.Join(h.Tables, ", "))
	if h.Since != nil && h.Age != nil {
		fmt.Fprintf(&b, " since %s (%s)", h.Since.UTC().Format("15:04:05Z"), h.Age.Round(time.Second))
	}
	if h.State != "" {
		fmt.Fprintf(&b, ", %s", h.State)
	}
	if query := strings.Join(strings.Fields(h.Query), " "); query != "" {
		const most = 80
		if runes := []rune(query); len(runes) > most {
			query = string(runes[:most]) + "…"
		}
		fmt.Fprintf(&b, ": %s", query)
	}
	return b.String()
}

// holders are those that hold a lock on a table of ours or of River, the oldest first. A lock that only stands against the
// weakest ones of others stands against ours.
func (c Change) holders(ctx context.Context, conn *pgx.Conn) ([]Holder, error) {
	schema := c.Schema.Defaults()
	rows, err := conn.Query(ctx, `
		SELECT l.pid, coalesce(p.gid, ''), coalesce(a.application_name, ''), coalesce(a.usename::text, p.owner::text, ''), coalesce(a.state, ''),
		       coalesce(a.xact_start, p.prepared), now() - coalesce(a.xact_start, p.prepared), coalesce(a.query, ''),
		       array_agg(DISTINCT c.relname::text ORDER BY c.relname::text)
		  FROM pg_locks l
		  JOIN pg_class c ON c.oid = l.relation AND c.relkind = 'r'
		  JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = ANY ($1)
		  LEFT JOIN pg_stat_activity a ON a.pid = l.pid
		  LEFT JOIN pg_locks x ON l.pid IS NULL AND x.pid IS NULL AND x.locktype = 'transactionid' AND x.virtualtransaction = l.virtualtransaction
		  LEFT JOIN pg_prepared_xacts p ON p.transaction = x.transactionid
		 WHERE l.locktype = 'relation' AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid() AND c.relname <> 'migration'
		   AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
		 GROUP BY 1, 2, 3, 4, 5, 6, 7, 8 ORDER BY 6 NULLS LAST LIMIT 5`, []string{schema.Name, schema.River})
	if err != nil {
		return nil, fmt.Errorf("look who holds the locks: %w", err)
	}
	holders, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (h Holder, err error) {
		var pid *int32
		err = row.Scan(&pid, &h.Prepared, &h.Application, &h.Role, &h.State, &h.Since, &h.Age, &h.Query, &h.Tables)
		h.PID = pid
		return h, err
	})
	if err != nil {
		return nil, fmt.Errorf("look who holds the locks: %w", err)
	}
	return holders, nil
}
