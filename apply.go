package tidemill

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/internal/riverpg"
	"github.com/tidemill/tidemill/migrations"
	"github.com/tidemill/tidemill/periodic"
	"github.com/tidemill/tidemill/workers/kind"
)

// Applied is what Apply changed.
type Applied struct {
	Kinds     []string // that are new, or have other defaults
	Jobs      []string // that are new or changed
	Removed   []string // jobs that the configuration has no longer
	Schedules *periodic.Applied
}

// Apply writes the configuration into the database: its schedules, and, for SQL to know, its jobs and the kinds of the
// program's own workers. Deploy it after Migrate. A worker applies its own when it starts, unless workers with another configuration are
// alive, so that a rolling deploy does not go back and forth; then it applies it when the last of them has left.
func (a *App) Apply(ctx context.Context) (*Applied, error) {
	applied, _, err := a.apply(ctx, true)
	return applied, err
}

// apply reports false if it did nothing, because others that live have another configuration.
func (a *App) apply(ctx context.Context, force bool) (applied *Applied, done bool, err error) {
	own, named, err := a.kinds()
	if err != nil {
		return nil, false, err
	}
	schedules, err := a.definitions()
	if err != nil {
		return nil, false, err
	}
	conn, err := a.Pool.Acquire(ctx)
	if err != nil {
		return nil, false, fmt.Errorf("apply the configuration: connect: %w", err)
	}
	defer conn.Release()
	change := migrations.Change{
		Doing: "apply the configuration", Schema: a.schema, Logger: a.logger,
		Lock: []migrations.TableLock{{Table: "{tidemill}.setting", Mode: "EXCLUSIVE"}},
	}
	change.Do = func(ctx context.Context, tx pgx.Tx) error {
		applied, done = &Applied{}, false // of a try before
		if !force {
			if others, err := a.otherConfigs(ctx, tx); err != nil || others {
				return err
			}
		}
		done = true
		_, err := tx.Exec(ctx, a.schema.SQL(`
			INSERT INTO {tidemill}.kind (kind, queue, priority, max_attempts) SELECT DISTINCT ON (kind) kind, queue, priority, max_attempts
			  FROM jsonb_to_recordset($1) r (kind text, queue text, priority smallint, max_attempts smallint)
			ON CONFLICT DO NOTHING`), named)
		if err != nil {
			return err
		}
		if applied.Kinds, err = a.applyKinds(ctx, tx, own); err != nil {
			return err
		}
		if err := a.applyJobs(ctx, tx, applied); err != nil {
			return err
		}
		applied.Schedules, err = periodic.ApplyTx(ctx, tx, a.schema, schedules)
		return err
	}
	if err := change.Run(ctx, conn.Conn()); err != nil {
		return nil, false, err
	}
	return applied, done, nil
}

// kindRow is a row of the table kind.
type kindRow struct {
	Kind        string `json:"kind"`
	Queue       string `json:"queue"`
	Priority    int    `json:"priority"`
	MaxAttempts int    `json:"max_attempts"`
}

func (a *App) applyKinds(ctx context.Context, tx pgx.Tx, kinds []kindRow) ([]string, error) {
	rows, err := tx.Query(ctx, a.schema.SQL(`
		INSERT INTO {tidemill}.kind AS k (kind, queue, priority, max_attempts)
		SELECT kind, queue, priority, max_attempts
		  FROM jsonb_to_recordset($1) r (kind text, queue text, priority smallint, max_attempts smallint) ORDER BY kind
		ON CONFLICT (kind) DO UPDATE SET (queue, priority, max_attempts, updated_at) =
			(excluded.queue, excluded.priority, excluded.max_attempts, now())
		WHERE (k.queue, k.priority, k.max_attempts) <> (excluded.queue, excluded.priority, excluded.max_attempts)
		RETURNING kind`), kinds)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// jobRow is a row of the table job.
type jobRow struct {
	Name        string          `json:"name"`
	Kind        string          `json:"kind"`
	Args        json.RawMessage `json:"args"`
	ArgsNested  bool            `json:"args_nested"`
	Queue       string          `json:"queue"`
	Priority    int             `json:"priority"`
	MaxAttempts int             `json:"max_attempts"`
	Unique      bool            `json:"is_unique"`
	ParamTypes  []paramRow      `json:"param_types"`
	StartError  *string         `json:"start_error"`
	Then        *thenRow        `json:"then_jobs"`
}

// thenRow names the jobs to start when a run has ended.
type thenRow struct {
	Success []thenJob `json:"success,omitempty"`
	Failure []thenJob `json:"failure,omitempty"`
	Always  []thenJob `json:"always,omitempty"`
}

type thenJob struct {
	Job    string          `json:"job"`
	Params json.RawMessage `json:"params,omitempty"`
}

func thenJobs(nexts []config.ThenJob) []thenJob {
	var rows []thenJob
	for _, next := range nexts {
		rows = append(rows, thenJob{Job: next.Job, Params: next.Params})
	}
	return rows
}

// paramRow is a declared param as resolve_params reads it.
type paramRow struct {
	Name    string          `json:"name"`
	Type    string          `json:"type"`
	Default json.RawMessage `json:"default,omitempty"`
}

func (a *App) applyJobs(ctx context.Context, tx pgx.Tx, applied *Applied) error {
	jobs := []jobRow{}
	for _, name := range slices.Sorted(maps.Keys(a.Config.Jobs)) {
		row, err := a.jobRow(a.Config.Jobs[name])
		if err != nil {
			return err
		}
		jobs = append(jobs, row)
	}
	rows, err := tx.Query(ctx, a.schema.SQL(`
		INSERT INTO {tidemill}.job AS j (name, kind, args, args_nested, queue, priority, max_attempts, is_unique, param_types, start_error, then_jobs)
		SELECT name, kind, args, args_nested, queue, priority, max_attempts, is_unique, nullif(param_types, 'null'), start_error, nullif(then_jobs, 'null')
		  FROM jsonb_to_recordset($1) r (name text, kind text, args jsonb, args_nested boolean, queue text, priority smallint,
			max_attempts smallint, is_unique boolean, param_types jsonb, start_error text, then_jobs jsonb) ORDER BY name
		ON CONFLICT (name) DO UPDATE SET (kind, args, args_nested, queue, priority, max_attempts, is_unique, param_types, start_error, then_jobs, updated_at) =
			(excluded.kind, excluded.args, excluded.args_nested, excluded.queue, excluded.priority, excluded.max_attempts,
			 excluded.is_unique, excluded.param_types, excluded.start_error, excluded.then_jobs, now())
		WHERE (j.kind, j.args, j.args_nested, j.queue, j.priority, j.max_attempts, j.is_unique, j.param_types, j.start_error, j.then_jobs) IS DISTINCT FROM
			(excluded.kind, excluded.args, excluded.args_nested, excluded.queue, excluded.priority, excluded.max_attempts,
			 excluded.is_unique, excluded.param_types, excluded.start_error, excluded.then_jobs)
		RETURNING name`), jobs)
	if err != nil {
		return err
	}
	if applied.Jobs, err = pgx.CollectRows(rows, pgx.RowTo[string]); err != nil {
		return err
	}
	names := jobNames(a.Config)
	if names == nil {
		names = []string{}
	}
	rows, err = tx.Query(ctx, a.schema.SQL(`DELETE FROM {tidemill}.job WHERE name <> ALL ($1) RETURNING name`), names)
	if err != nil {
		return err
	}
	if applied.Removed, err = pgx.CollectRows(rows, pgx.RowTo[string]); err != nil {
		return err
	}
	_, err = tx.Exec(ctx, a.schema.SQL(`UPDATE {tidemill}.setting SET notify = $1, queues = $2, config = $3, timezone = $4, max_args = $5`),
		a.Config.Database.Notify, slices.Sorted(maps.Keys(a.Config.Queues)), a.Config.Hash(), a.Config.Timezone, cmp.Or(a.Config.MaxArgs, riverpg.DefaultMaxArgs))
	return err
}

func (a *App) jobRow(def *config.Job) (jobRow, error) {
	base := json.RawMessage("{}")
	if builtIn(def) {
		var err error
		if base, err = json.Marshal(kind.Args{Job: def.Name}); err != nil {
			return jobRow{}, fmt.Errorf("job %s: %w", def.Name, err)
		}
	} else if len(def.Args) > 0 {
		base = def.Args
	}
	row := jobRow{
		Name: def.Name, Kind: a.riverKind(def), Args: base, ArgsNested: builtIn(def), Queue: def.Queue, Priority: def.Priority,
		MaxAttempts: a.maxAttempts(def), Unique: def.Unique,
	}
	if err := riverpg.CheckSize("the args of job "+def.Name, len(row.Args), a.Config.MaxArgs); err != nil {
		return jobRow{}, err
	}
	for _, next := range def.Then.All() {
		if err := riverpg.CheckSize("the params that job "+def.Name+" gives to "+next.Job, len(next.Params), a.Config.MaxArgs); err != nil {
			return jobRow{}, err
		}
	}
	if def.Params != nil {
		row.ParamTypes = paramRows(def)
	}
	if len(def.Then.All()) > 0 {
		row.Then = &thenRow{Success: thenJobs(def.Then.Success), Failure: thenJobs(def.Then.Failure), Always: thenJobs(def.Then.Always)}
	}
	if need := def.NeedsFile(); need != nil {
		why := need.StartError + ": tidemill import " + def.Name + " FILE"
		row.StartError = &why
	}
	return row, nil
}

func paramRows(def *config.Job) []paramRow {
	rows := []paramRow{}
	for _, p := range def.Params {
		rows = append(rows, paramRow{Name: p.Name, Type: p.Type, Default: p.Default})
	}
	return rows
}

// kinds are those of the program's own workers. Those that only the configuration names are for another program to describe.
func (a *App) kinds() (own, named []kindRow, err error) {
	row := func(kind string, opts river.InsertOpts) kindRow {
		return kindRow{
			Kind: kind, Queue: cmp.Or(opts.Queue, river.QueueDefault), Priority: cmp.Or(opts.Priority, river.PriorityDefault),
			MaxAttempts: cmp.Or(opts.MaxAttempts, a.Config.Retry.MaxAttempts),
		}
	}
	registered, err := registeredKinds(a.Workers)
	if err != nil {
		return nil, nil, err
	}
	own, named = []kindRow{}, []kindRow{}
	for name, opts := range registered {
		if !strings.HasPrefix(name, kind.RiverPrefix) {
			own = append(own, row(name, opts))
		}
	}
	for _, def := range a.Config.Jobs {
		if _, known := registered[def.Kind]; !known && def.Spec == nil {
			named = append(named, row(def.Kind, river.InsertOpts{}))
		}
	}
	return own, named, nil
}

// registeredKinds reads the kinds of workers, and the InsertOpts of their arguments. River keeps them to itself, so they are
// read by reflection; TestRegisteredKinds holds River's form.
func registeredKinds(workers *river.Workers) (kinds map[string]river.InsertOpts, err error) {
	registry := reflect.ValueOf(workers).Elem().FieldByName("workersMap")
	if registry.Kind() != reflect.Map || registry.Type().Elem().Kind() != reflect.Struct {
		return nil, fmt.Errorf("this version of River keeps its workers otherwise; SQL would not know their kinds")
	}
	kinds = map[string]river.InsertOpts{}
	for entries := registry.MapRange(); entries.Next(); {
		args := entries.Value().FieldByName("jobArgs")
		if args.Kind() != reflect.Interface || args.IsNil() {
			return nil, fmt.Errorf("this version of River keeps the arguments of its workers otherwise; SQL would not know their defaults")
		}
		kinds[entries.Key().String()] = insertOptsOf(args.Elem().Type())
	}
	return kinds, nil
}

// insertOptsOf asks the zero value of a type of arguments, as River's AddWorker asks it for its kind.
func insertOptsOf(args reflect.Type) (opts river.InsertOpts) {
	zero := reflect.Zero(args)
	if args.Kind() == reflect.Pointer {
		zero = reflect.New(args.Elem())
	}
	if with, ok := zero.Interface().(river.JobArgsWithInsertOpts); ok {
		// Arguments whose options depend on their fields may not like the zero value; then the kind has none of its own.
		defer func() { _ = recover() }()
		opts = with.InsertOpts()
	}
	return opts
}
