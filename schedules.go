package tidemill

import (
	"fmt"
	"maps"
	"slices"

	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/internal/riverpg"
	"github.com/tidemill/tidemill/periodic"
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
		size, err := a.argsSize(def)
		if err != nil {
			return nil, err
		}
		if err := riverpg.CheckSize("the arguments of schedule "+def.Name, size, a.Config.MaxArgs); err != nil {
			return nil, err
		}
	}
	return defs, nil
}

// argsSize is about how many bytes the arguments of a schedule's runs have.
func (a *App) argsSize(def periodic.Definition) (int, error) {
	if def.Kind != "" {
		return len(def.Args), nil
	}
	job, err := a.job(def.Job)
	if err != nil {
		return 0, fmt.Errorf("schedule %s: %w", def.Name, err)
	}
	row, err := a.jobRow(job)
	return len(row.Args) + len(def.Params), err
}

// definition names the job, which Apply writes beside it.
func (a *App) definition(s *config.Schedule) (periodic.Definition, error) {
	if _, err := a.job(s.Job); err != nil {
		return periodic.Definition{}, err
	}
	return periodic.Definition{
		Name: s.Name, Spec: periodic.Spec{Cron: s.Cron, Every: s.Every, Timezone: s.Timezone},
		CatchUp: s.CatchUp, CatchUpWindow: s.CatchUpWindow, Overlap: s.Overlap, Jitter: s.Jitter, Job: s.Job, Params: s.Params,
	}, nil
}

// ScheduleAdmin shows and steers the schedules of the database.
func (a *App) ScheduleAdmin() *periodic.Admin { return periodic.NewAdmin(a.Pool, a.schema) }

// scheduler fires what is due.
func (a *App) scheduler(watch *watch) *periodic.Scheduler {
	return periodic.New(periodic.Opts{Session: watch.session, Schema: a.schema, Logger: a.logger, OnTick: watch.tick, OnFailure: watch.tickFailed})
}
