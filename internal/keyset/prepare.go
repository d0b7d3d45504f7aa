package keyset

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"
)

// Prepare has the server plan the walk, without reading any row: it learns the types of the columns, unless they are given, and chooses
// the place of NULLs. size is that of a page.
func (w *Walk) Prepare(ctx context.Context, db DB, size int) error {
	err := w.learnTypes(ctx, db)
	if err == nil {
		err = w.chooseNulls(ctx, db, size)
	}
	if err != nil {
		return fmt.Errorf("plan the walk: %w", err)
	}
	return nil
}

func (w *Walk) learnTypes(ctx context.Context, db DB) error {
	if w.Columns[0].Type != "" {
		return nil
	}
	types := w.Names("q")
	for i, name := range types {
		types[i] = "format_type(pg_typeof(" + name + "), -1)"
	}
	// The left join gives one row of types even if the query gives none.
	query := "SELECT ARRAY[" + strings.Join(types, ", ") + "] FROM (SELECT) one LEFT JOIN " + w.From() + " ON false"
	if err := db.QueryRow(ctx, query, w.NewArgs().All()...).Scan(&types); err != nil {
		return err
	}
	for i := range w.Columns {
		w.Columns[i].Type = types[i]
	}
	return nil
}

// chooseNulls takes the place of NULLs for which the walk costs less. The key has no NULL, so the order is the same; but for the planner
// an index that is DESC NULLS LAST, read backwards, has only NULLS FIRST.
func (w *Walk) chooseNulls(ctx context.Context, db DB, size int) error {
	w.otherNulls = false
	plain, sorts, err := w.cost(ctx, db, size)
	if err != nil || !sorts {
		return err
	}
	w.otherNulls = true
	other, _, err := w.cost(ctx, db, size)
	w.otherNulls = err == nil && other < plain
	return err
}

// cost is the planner's estimate for a page, and whether it would sort.
func (w *Walk) cost(ctx context.Context, db DB, size int) (cost float64, sorts bool, err error) {
	var plan string
	query := "EXPLAIN (FORMAT JSON) SELECT * FROM " + w.From() + " ORDER BY " + w.Order("q") + " LIMIT " + strconv.Itoa(size)
	if err := db.QueryRow(ctx, query, w.NewArgs().All()...).Scan(&plan); err != nil {
		return 0, false, err
	}
	return gjson.Get(plan, `0.Plan.Total Cost`).Float(), strings.Contains(plan, `Sort"`), nil
}
