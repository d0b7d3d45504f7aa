// Package chaos holds tests that kill and freeze real worker processes in the middle of real imports, or take their
// database or their network away, and then compare the outcome with the source, row by row.
//
// The defaults are short, for every run of the tests. The full proofs are longer:
//
//	go test ./internal/chaos -run Kill -chaos.kills 20 -chaos.rows 1000000 -timeout 30m -v
//	go test ./internal/chaos -run Freeze -chaos.freeze 60s -chaos.rows 1000000 -timeout 30m -v
//	go test ./internal/chaos -run Failover -chaos.failoverrows 1000000 -chaos.requests 2000 -chaos.away 10s -timeout 30m -v
//	go test ./internal/chaos -run TestSplit -chaos.splits 3s,8s,15s,25s,60s -chaos.splitrounds 5 -parallel 4 -timeout 60m -v
//	go test ./internal/chaos -run HeldRows -chaos.hold 150s -timeout 30m -v
//	go test ./internal/chaos -run TableLock -chaos.tablelock 100s -timeout 30m -v
//	go test ./internal/chaos -run TestSeeded -chaos.for 10m -timeout 30m -v
//	go test ./internal/chaos -run BadNetwork -chaos.badfor 60s -chaos.badjobs 5000 -chaos.rows 1000000 -timeout 30m -v
//	go test ./internal/chaos -run LargeJobs -chaos.large 12 -chaos.memory 1500 -chaos.largejobs 600 -timeout 30m -v
//	go test ./internal/chaos -run Poison -chaos.poison 10 -timeout 60m -v
//
// TestSeeded draws its faults by a seed, which it prints; -chaos.seed draws the same again. With -chaos.without it does
// without one of the guards, and must fail.
package chaos
