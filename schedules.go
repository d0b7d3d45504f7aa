package tidemill

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/internal/riverpg"
	"github.com/tidemill/tidemill/periodic"
	"github.com/tidemill/tidemill/workers"
)

// definitions are the schedules of the configuration and those that the program added.
func (a *App) definitions() ([]periodic.Definition, error) {
	defs := slices.Clone(a.Schedules)
	for _, name := range slices.Sorted(maps.Keys(a.Config.Schedules)) {
		def, err := a.definition(a.Config.Schedules[name])
		if err != nil {
			return nil, fmt.Errorf("schedule %s: %w", name, err)
		}
		defs = append(defs, def)
	}
	names := map[string]bool{}
	for _, def := range defs {
		if names[def.Name] {
			return nil, fmt.Errorf("schedule %s is defined twice, by the program and in the configuration", def.Name)
		}
		names[def.Name] = true
		if err := riverpg.CheckSize("the arguments of schedule "+def.Name, len(def.Args), a.Config.MaxArgs); err != nil {
			return nil, err
		}
	}
	return defs, nil
}

func (a *App) definition(s *config.Schedule) (periodic.Definition, error) {
	job, err := a.job(s.Job)
	if err != nil {
		return periodic.Definition{}, err
	}
	def := periodic.Definition{
		Name: s.Name, Spec: periodic.Spec{Cron: s.Cron, Every: s.Every, Timezone: s.Timezone},
		CatchUp: s.CatchUp, CatchUpWindow: s.CatchUpWindow, Overlap: s.Overlap, Jitter: s.Jitter,
		Job: job.Name, Kind: riverKind(job), Queue: job.Queue, Priority: job.Priority, MaxAttempts: maxAttempts(job),
		Params: s.Params, Unique: job.Unique,
	}
	if builtIn(job) {
		def.Args, err = json.Marshal(workers.JobArgs{Job: job.Name, Params: s.Params})
		return def, err
	}
	if def.Args, err = mergeRaw(job.Args, s.Params); err != nil {
		return def, err
	}
	if job.Params != nil {
		def.Declared, err = json.Marshal(paramRows(job))
	}
	return def, err
}

// mergeRaw puts the fields of one JSON object over those of another; either may be missing.
func mergeRaw(base, over json.RawMessage) (json.RawMessage, error) {
	var fields map[string]json.RawMessage
	if len(over) > 0 {
		if err := json.Unmarshal(over, &fields); err != nil {
			return nil, fmt.Errorf("params: %w", err)
		}
	}
	params := Params{}
	for name, value := range fields {
		params[name] = value
	}
	return mergeArgs(base, params)
}

// Board shows and steers the schedules of the database.
func (a *App) Board() *periodic.Board { return periodic.NewBoard(a.Pool, a.schema) }

// scheduler fires what is due, through a session of conn.
func (a *App) scheduler(conn *pgx.ConnConfig, watch *watch) *periodic.Scheduler {
	return periodic.New(periodic.Opts{Conn: conn, Schema: a.schema, Logger: a.logger, OnTick: watch.tick, OnFailure: watch.tickFailed})
}
