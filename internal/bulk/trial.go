package bulk

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Trial lets rows be written without moving the sequences that the table's columns take their values from: no rollback
// takes a sequence back. Temporary sequences that stand where the real ones do take their place.
type Trial struct {
	defaults  []insertDefault
	sequences []trialSequence
}

// insertDefault is a column and the SQL of what an inserted row gets in it instead of the column's own default.
type insertDefault struct{ column, sql string }

type trialSequence struct {
	oid  uint32
	name string // of the temporary one, as SQL names it
}

// The default of a column is its own or its domain's. An identity has none, only a sequence.
const trialSQL = `
SELECT a.attname::text, coalesce(pg_get_expr(d.adbin, d.adrelid), pg_get_expr(t.typdefaultbin, 0), ''),
	CASE WHEN a.attidentity::text <> '' THEN pg_get_serial_sequence(a.attrelid::regclass::text, a.attname) END
FROM pg_attribute a
JOIN pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated::text = ''
ORDER BY a.attnum`

// PlanTrial finds the columns that s does not write and a sequence would fill. A sequence that is hidden in a function or a
// trigger is not found, and moves.
func (t *Table) PlanTrial(ctx context.Context, q Querier, s Spec) (*Trial, error) {
	type found struct {
		Name, Default string
		Identity      *string
	}
	rows, err := q.Query(ctx, trialSQL, t.OID)
	if err != nil {
		return nil, fmt.Errorf("find the sequences of %s: %w", t.Ident(), err)
	}
	columns, err := pgx.CollectRows(rows, pgx.RowToStructByPos[found])
	if err != nil {
		return nil, fmt.Errorf("find the sequences of %s: %w", t.Ident(), err)
	}
	trial := &Trial{}
	for _, c := range columns {
		if s.writes(c.Name) {
			continue
		}
		if c.Identity != nil {
			c.Default = "nextval('" + strings.ReplaceAll(*c.Identity, "'", "''") + "'::regclass)"
		}
		sql, err := trial.replace(ctx, q, c.Default)
		if err != nil {
			return nil, fmt.Errorf("find the sequence of column %s of %s: %w", c.Name, t.Ident(), err)
		}
		if sql != c.Default {
			trial.defaults = append(trial.defaults, insertDefault{c.Name, sql})
		}
	}
	return trial, nil
}

// columns are those that get something else than their default; none without a trial.
func (t *Trial) columns() []insertDefault {
	if t == nil {
		return nil
	}
	return t.defaults
}

// replace puts the temporary sequences into an expression.
func (t *Trial) replace(ctx context.Context, q Querier, expr string) (string, error) {
	var out strings.Builder
	for {
		before, arg, after, ok := cutNextval(expr)
		if !ok {
			return out.String() + expr, nil
		}
		var oid uint32
		if err := q.QueryRow(ctx, "SELECT ("+arg+")::pg_catalog.regclass::pg_catalog.oid").Scan(&oid); err != nil {
			return "", err
		}
		fmt.Fprintf(&out, "%spg_catalog.nextval('%s'::pg_catalog.regclass)", before, t.sequence(oid))
		expr = after
	}
}

func (t *Trial) sequence(oid uint32) string {
	for _, s := range t.sequences {
		if s.oid == oid {
			return s.name
		}
	}
	s := trialSequence{oid, fmt.Sprintf("pg_temp.tidemill_trial_%d", len(t.sequences)+1)}
	t.sequences = append(t.sequences, s)
	return s.name
}

// cutNextval finds the first call of nextval in an expression as the server writes it.
func cutNextval(expr string) (before, arg, after string, ok bool) {
	const call = "nextval("
	depth, begin, quoted := 0, -1, byte(0)
	for i := 0; i < len(expr); i++ {
		c := expr[i]
		switch {
		case quoted != 0:
			if c == quoted {
				quoted = 0 // a doubled one begins again at once
			}
		case c == '\'' || c == '"':
			quoted = c
		case begin < 0:
			if strings.HasPrefix(expr[i:], call) && (i == 0 || !nameByte(expr[i-1]) && expr[i-1] != '.') {
				begin, depth = i, 1
				i += len(call) - 1
			}
		case c == '(':
			depth++
		case c == ')':
			if depth--; depth == 0 {
				return expr[:begin], expr[begin+len(call) : i], expr[i+1:], true
			}
		}
	}
	return "", "", "", false
}

// Begin makes the temporary sequences, which the end of the transaction must undo.
func (t *Trial) Begin(ctx context.Context, tx pgx.Tx) error {
	for _, s := range t.sequences {
		var create string
		var last *int64
		err := tx.QueryRow(ctx, `
SELECT format('CREATE TEMP SEQUENCE %s INCREMENT BY %s MINVALUE %s MAXVALUE %s START WITH %s %s', $2::text, seqincrement, seqmin, seqmax, seqstart,
	CASE WHEN seqcycle THEN 'CYCLE' ELSE '' END), pg_sequence_last_value(seqrelid)
FROM pg_sequence WHERE seqrelid = $1`, s.oid, strings.TrimPrefix(s.name, "pg_temp.")).Scan(&create, &last)
		if errors.Is(err, pgx.ErrNoRows) {
			return errors.New("a sequence of the table is gone; try again")
		}
		if err != nil {
			return fmt.Errorf("read a sequence: %w", err)
		}
		if _, err := tx.Exec(ctx, create); err != nil {
			return fmt.Errorf("make a sequence for the trial: %w", err)
		}
		if last == nil {
			continue
		}
		if _, err := tx.Exec(ctx, "SELECT setval('"+s.name+"', $1)", *last); err != nil {
			return fmt.Errorf("make a sequence for the trial: %w", err)
		}
	}
	return nil
}
