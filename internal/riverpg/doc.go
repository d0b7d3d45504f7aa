// Package riverpg is River's driver for pgx, with the statements replaced through which one job could hold up others, those
// that fetch jobs and those that store how they ended, and those that go by this machine's clock. All else is River's own.
package riverpg
