// Package dbclock tells the time by the database's clock without asking it each time. Machines disagree about what time it is;
// what one of them stores as a due time another reads, so all of them go by the one clock that they share.
package dbclock
