// Package convert turns the schedules of other programs into a tidemill.yaml: sidekiq.yml with the schedule of sidekiq-cron
// or sidekiq-scheduler, vercel.json, and crontabs, Whenever's among them.
//
// What it makes is read by package config before it is given out. It carries over what means the same here; whatever does
// not is a [Problem] with its line, never a guess. A time of day that is converted comes at the same instants: expressions
// are those of package cron, and what that does not have is refused.
package convert
