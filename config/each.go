package config

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/tidemill/tidemill/internal/sqlparams"
)

const kindEach = "each"

// EachKind enqueues a job for each row of a query.
func EachKind() Kind {
	return NewKind[Each](Kind{
		Name: kindEach, Chunked: true, Params: DeclaredParams, NoChild: true,
		Doc: "Enqueues a job for each row of a query, or for each batch of rows. What follows it (`then`) follows the end of the last child: `success` if all have succeeded, `failure` if some failed, were cancelled or deleted.",
	}, eachFields())
}

// MaxEachBatch is the most rows that one child can be given: they are its arguments, and travel with it.
const MaxEachBatch = 10_000

// RowsParam is the param in which a child gets its rows if it gets more than one.
const RowsParam = "rows"

// Each is what a job of kind each does.
type Each struct {
	Query   string   // one SELECT; :name stands for a param of the job, and is bound, never spliced
	OrderBy []string // columns of the result that together are unique and not NULL
	Batch   int      // rows of one child
	Enqueue Enqueue
}

// Enqueue is the job that an [Each] enqueues.
type Enqueue struct {
	Job string
	// Params are the same for all children, a JSON object or nil. The columns of the row, or RowsParam, go before them.
	Params json.RawMessage
}

// eachFields are the further fields of a job of kind each.
func eachFields() object[Each] {
	return object[Each]{
		row("query", text{words: "SQL", check: checkEachQuery}, "", "One `SELECT`: `SELECT id, email FROM app.users WHERE plan = :plan`. Each `:name` is declared in `params`, and each param is in the query. It is read in parts, in the order of `order_by`, and should be cheap to enter anywhere: an index on these columns.",
			func(e *Each) *string { return &e.Query }).needed(),
		row("order_by", texts{"columns"}, "", "Columns of the query's result that order it. Together they are unique, and none is ever NULL: the primary key.",
			func(e *Each) *[]string { return &e.OrderBy }).needed(),
		row("batch", integer[int]{1, MaxEachBatch}, "1", "Rows of one child. With 1 it gets the columns of its row as params; with more it gets one param, `"+RowsParam+"`, a list of objects.",
			func(e *Each) *int { return &e.Batch }),
		row("enqueue", section[Enqueue]{enqueueFields()}, "", "What each row, or batch of rows, becomes.",
			func(e *Each) *Enqueue { return &e.Enqueue }).needed(),
	}
}

func enqueueFields() object[Enqueue] {
	return object[Enqueue]{
		row("job", text{words: "one of `jobs`", check: checkJobName}, "", "The job, of any kind but `import` and `each`. Its queue, priority and retry are those of the children; they have no runs of their own, so it can neither be `unique` nor have a `then`.",
			func(e *Enqueue) *string { return &e.Job }).needed(),
		row("params", args{}, "", "Params that all children get, beside those of the row.",
			func(e *Enqueue) *json.RawMessage { return &e.Params }),
	}
}

func checkEachQuery(s string) (problem, hint string) {
	if strings.TrimSpace(s) == "" {
		return "is no query", "write it like SELECT id FROM app.users"
	}
	if _, _, err := sqlparams.Bind(s); err != nil {
		return "is not a query: " + err.Error(), dollarHint(err)
	}
	return "", ""
}

// checkEach looks at the query's params, the order and the job that is enqueued.
// Check looks for what does not fit together.
func (e *Each) Check(d *Checker, j *Job, at path) {
	d.checkBound(e.Query, "query", j, at)
	if d.sure(at, "order_by") {
		checkOrderBy(d, e.OrderBy, at.join("order_by"))
	}
	if d.sure(at, "enqueue") {
		e.checkEnqueue(d, at.join("enqueue"))
	}
}

func checkOrderBy(d *Checker, columns []string, at path) {
	if len(columns) == 0 {
		d.problem(at, "name the columns of the primary key", "names no column")
	}
	for i, column := range columns {
		item := at.join(index(i))
		switch problem := identProblem(column); {
		case problem != "":
			d.problem(item, "", "%q %s", d.shown(item, column), problem)
		case slices.Index(columns, column) < i:
			d.problem(item, "remove one of them", "%q is there twice", d.shown(item, column))
		}
	}
}

func (e *Each) checkEnqueue(d *Checker, at path) {
	enqueue := e.Enqueue
	if enqueue.Job == "" { // reported as missing
		return
	}
	child, field := d.Config.Jobs[enqueue.Job], at.join("job")
	switch {
	case child == nil:
		d.problem(field, didYouMean(enqueue.Job, slices.Sorted(maps.Keys(d.Config.Jobs))), "%q is not one of jobs", d.shown(field, enqueue.Job))
		return
	case d.noChild(child):
		d.problem(field, "", "job %s is of kind %s, which cannot be a child", enqueue.Job, child.Kind)
		return
	case child.Unique:
		d.problem(field, "remove unique: from it, or enqueue another job", "job %s is unique, and children have no runs of which one could be live", enqueue.Job)
	case len(child.Then.All()) > 0:
		d.problem(field, "what follows the last child belongs into then: of this job", "job %s has a then, and children have no runs that could be followed", enqueue.Job)
	}
	checkFixed(d, child, enqueue.Params, e.Batch, at)
}

// checkFixed judges the params that all children get. Whether the row has the others is known to the database.
func checkFixed(d *Checker, child *Job, fixed json.RawMessage, batch int, at path) {
	if child.Params == nil {
		return
	}
	declares := func(name string) bool {
		return slices.ContainsFunc(child.Params, func(p Param) bool { return p.Name == name })
	}
	if batch > 1 && !declares(RowsParam) {
		d.problem(at.join("job"), "declare it there: params: {"+RowsParam+": json}, or say batch: 1", "job %s has no param %s, in which it would get its rows", child.Name, RowsParam)
	}
	given, problem := decodeObject[json.RawMessage](fixed)
	if problem != "" {
		return // the type of the field sees to it
	}
	// The rest may come from the row.
	some := Job{Name: child.Name, Kind: child.Kind, Params: []Param{}}
	for _, p := range child.Params {
		if _, ok := given[p.Name]; ok {
			some.Params = append(some.Params, p)
		}
	}
	var wrong *ParamError
	if err := some.CheckParams(fixed); errors.As(err, &wrong) {
		if wrong.Param != "" && !declares(wrong.Param) {
			names := make([]string, len(child.Params))
			for i, p := range child.Params {
				names[i] = p.Name
			}
			wrong.Hint = didYouMean(wrong.Param, names)
		}
		d.problem(at.join("params"), wrong.Hint, "job %s: %s", child.Name, (&ParamError{Param: wrong.Param, Message: wrong.Message}).Error())
	}
}

type eachDefinition struct {
	Query   string
	OrderBy []string
	Batch   int
	Job     string
	Params  any
}

// Identity is all of it.
func (e *Each) Identity() (string, any) {
	return "Each", eachDefinition{Query: e.Query, OrderBy: e.OrderBy, Batch: e.Batch, Job: e.Enqueue.Job, Params: plainJSON(e.Enqueue.Params)}
}

// Limits are none.
func (*Each) Limits() []any { return nil }
