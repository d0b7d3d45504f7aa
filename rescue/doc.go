// Package rescue gives every worker process an identity in the database, notices when one has died, and gives its jobs
// back to their queues within seconds, at no cost of an attempt.
//
// River gives a dead worker's job back after an hour and lets a stale worker finish what another runs by then. Here each
// process registers under an id that is new at every start, which is also its River client's id, and says it in every
// database session. It beats; the others watch. Whoever finds a process dead marks it fenced, ends its sessions (a client
// frozen inside COPY holds locks that no timeout ends) and moves its running jobs. From then on a trigger on river_job
// refuses every update by a session of the fenced id: if the process was only frozen, it can neither fetch nor finish
// anything under its old name, notices, and starts again under a new one.
package rescue
