package main

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/tidemill/tidemill/periodic"
)

// benchSchedules measures what schedules cost while none of them is due: whether there are ten or ten thousand.
func benchSchedules(ctx context.Context, b *bench) error {
	b.rounds, b.window = cmp.Or(b.rounds, 3), cmp.Or(b.window, 20*time.Second)
	const workers = 4
	fmt.Printf("%d idle workers, over %s, in turn; CPU of client and server, of one core\n\n", workers, b.window)
	fmt.Println("| schedules, round | workers | transactions per second | CPU % | connections |")
	fmt.Println("|---|---|---|---|---|")
	for round := range b.rounds {
		for _, n := range []int{10, 10_000} {
			system := idleSystem{name: fmt.Sprintf("%d schedules, %d", n, round+1), database: b.tidemillDatabase, start: scheduledIdle(n)}
			if err := b.idle(ctx, system, workers); err != nil {
				return fmt.Errorf("%s: %w", system.name, err)
			}
		}
	}
	return nil
}

func scheduledIdle(n int) func(context.Context, string) (func() error, error) {
	var defs []periodic.Definition
	for i := range n {
		defs = append(defs, periodic.Definition{
			Name: fmt.Sprintf("yearly-%05d", i), Kind: "noop",
			// Once a year, some day of June.
			Spec: periodic.Spec{Cron: fmt.Sprintf("%d %d %d 6 *", i%60, i/60%24, 1+i/1440%28)},
		})
	}
	return func(ctx context.Context, url string) (func() error, error) {
		app, err := newApp(ctx, url, baseConfig)
		if err != nil {
			return nil, err
		}
		app.Schedules = defs
		return runApp(ctx, app), nil
	}
}
