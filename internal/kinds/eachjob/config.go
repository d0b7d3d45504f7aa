package eachjob

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/config/field"
	"github.com/tidemill/tidemill/internal/sqlparams"
)

const kindName = "each"

// configKind enqueues a job for each row of a query.
func configKind() config.Kind {
	return config.NewKind[Config](config.Kind{
		Name: kindName, Chunked: true, Params: config.DeclaredParams, NoChild: true,
		Doc: "Enqueues a job for each row of a query, or for each batch of rows. What follows it (`then`) follows the end of the last child: `success` if all have succeeded, `failure` if some failed, were cancelled or deleted.",
	}, fields())
}

// MaxEachBatch is the most rows that one child can be given: they are its arguments, and travel with it.
const MaxEachBatch = 10_000

// RowsParam is the param in which a child gets its rows if it gets more than one.
const RowsParam = "rows"

// Config is what a job of kind each does.
type Config struct {
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
func fields() field.Table[Config] {
	return field.Table[Config]{
		field.Row("query", field.Text{Words: "SQL", Check: checkEachQuery}, "", "One `SELECT`: `SELECT id, email FROM app.users WHERE plan = :plan`. Each `:name` is declared in `params`, and each param is in the query. It is read in parts, in the order of `order_by`, and should be cheap to enter anywhere: an index on these columns.",
			func(e *Config) *string { return &e.Query }).Require(),
		field.Row("order_by", field.Texts{Item: "columns"}, "", "Columns of the query's result that order it. Together they are unique, and none is ever NULL: the primary key.",
			func(e *Config) *[]string { return &e.OrderBy }).Require(),
		field.Row("batch", field.Integer[int]{Min: 1, Max: MaxEachBatch}, "1", "Rows of one child. With 1 it gets the columns of its row as params; with more it gets one param, `"+RowsParam+"`, a list of objects.",
			func(e *Config) *int { return &e.Batch }),
		field.Row("enqueue", field.Section[Enqueue]{Fields: enqueueFields()}, "", "What each row, or batch of rows, becomes.",
			func(e *Config) *Enqueue { return &e.Enqueue }).Require(),
	}
}

func enqueueFields() field.Table[Enqueue] {
	return field.Table[Enqueue]{
		field.Row("job", field.Text{Words: "one of `jobs`", Check: config.CheckJobName}, "", "The job, of any kind but `import` and `each`. Its queue, priority and retry are those of the children; they have no runs of their own, so it can neither be `unique` nor have a `then`.",
			func(e *Enqueue) *string { return &e.Job }).Require(),
		field.Row("params", field.Mapping{}, "", "Params that all children get, beside those of the row.",
			func(e *Enqueue) *json.RawMessage { return &e.Params }),
	}
}

func checkEachQuery(s string) (problem, hint string) {
	if strings.TrimSpace(s) == "" {
		return "is no query", "write it like SELECT id FROM app.users"
	}
	if _, _, err := sqlparams.Bind(s); err != nil {
		return "is not a query: " + err.Error(), config.DollarHint(err)
	}
	return "", ""
}

// checkEach looks at the query's params, the order and the job that is enqueued.
// Check looks for what does not fit together.
func (e *Config) Check(d *config.Checker, j *config.Job, at field.Path) {
	d.CheckBound(e.Query, "query", j, at)
	if d.Checkable(at, "order_by") {
		checkOrderBy(d, e.OrderBy, at.Join("order_by"))
	}
	if d.Checkable(at, "enqueue") {
		e.checkEnqueue(d, at.Join("enqueue"))
	}
}

func checkOrderBy(d *config.Checker, columns []string, at field.Path) {
	if len(columns) == 0 {
		d.Problem(at, "name the columns of the primary key", "names no column")
	}
	for i, column := range columns {
		item := at.Join(field.Index(i))
		switch problem := config.CheckIdentifier(column); {
		case problem != "":
			d.Problem(item, "", "%q %s", d.SourceText(item, column), problem)
		case slices.Index(columns, column) < i:
			d.Problem(item, "remove one of them", "%q is there twice", d.SourceText(item, column))
		}
	}
}

func (e *Config) checkEnqueue(d *config.Checker, at field.Path) {
	enqueue := e.Enqueue
	if enqueue.Job == "" { // reported as missing
		return
	}
	child, name := d.Config.Jobs[enqueue.Job], at.Join("job")
	switch {
	case child == nil:
		d.Problem(name, field.DidYouMean(enqueue.Job, slices.Sorted(maps.Keys(d.Config.Jobs))), "%q is not one of jobs", d.SourceText(name, enqueue.Job))
		return
	case d.NoChild(child):
		d.Problem(name, "", "job %s is of kind %s, which cannot be a child", enqueue.Job, child.Kind)
		return
	case child.Unique:
		d.Problem(name, "remove unique: from it, or enqueue another job", "job %s is unique, and children have no runs of which one could be live", enqueue.Job)
	case len(child.Then.All()) > 0:
		d.Problem(name, "what follows the last child belongs into then: of this job", "job %s has a then, and children have no runs that could be followed", enqueue.Job)
	}
	checkFixed(d, child, enqueue.Params, e.Batch, at)
}

// checkFixed judges the params that all children get. Whether the row has the others is known to the database.
func checkFixed(d *config.Checker, child *config.Job, fixed json.RawMessage, batch int, at field.Path) {
	if child.Params == nil {
		return
	}
	declares := func(name string) bool {
		return slices.ContainsFunc(child.Params, func(p config.Param) bool { return p.Name == name })
	}
	if batch > 1 && !declares(RowsParam) {
		d.Problem(at.Join("job"), "declare it there: params: {"+RowsParam+": json}, or say batch: 1", "job %s has no param %s, in which it would get its rows", child.Name, RowsParam)
	}
	given, problem := field.DecodeObject[json.RawMessage](fixed)
	if problem != "" {
		return // the type of the field sees to it
	}
	// The rest may come from the row.
	some := config.Job{Name: child.Name, Kind: child.Kind, Params: []config.Param{}}
	for _, p := range child.Params {
		if _, ok := given[p.Name]; ok {
			some.Params = append(some.Params, p)
		}
	}
	var wrong *config.ParamError
	if err := some.CheckParams(fixed); errors.As(err, &wrong) {
		if wrong.Param != "" && !declares(wrong.Param) {
			names := make([]string, len(child.Params))
			for i, p := range child.Params {
				names[i] = p.Name
			}
			wrong.Hint = field.DidYouMean(wrong.Param, names)
		}
		d.Problem(at.Join("params"), wrong.Hint, "job %s: %s", child.Name, (&config.ParamError{Param: wrong.Param, Message: wrong.Message}).Error())
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
func (e *Config) Identity() (string, any) {
	return "Each", eachDefinition{Query: e.Query, OrderBy: e.OrderBy, Batch: e.Batch, Job: e.Enqueue.Job, Params: config.PlainJSON(e.Enqueue.Params)}
}

// Limits are none.
func (*Config) Limits() []any { return nil }
