package config

import "testing"

func TestHash(t *testing.T) {
	t.Parallel()
	const base = "kind: import, table: app.t, columns: {a: A, b: {field: B, null_if: [x, y]}}, set: {c: now on insert, d: now on change}, match: [a, b], on_conflict: skip"
	hash := func(fields string) string {
		return mustParse(t, "jobs: {j: {"+fields+"}}").Jobs["j"].Hash()
	}
	// Runs that are stored in a database name the version: it must not change
	// by accident.
	if got, want := hash(base), "fa5b928d8a517430107c7896ae44542dd40669333f07b35a6cf7a53ef381e5f5"; got != want {
		t.Errorf("hash of an import is %s, want %s", got, want)
	}
	if got, want := hash("kind: own, args: {a: 1}"), "e301f5b372e73da9bfecec5f8064173db161cf46aed070fc4608c91c9c23bae1"; got != want {
		t.Errorf("hash of an own kind is %s, want %s", got, want)
	}

	for _, same := range []string{
		base + ", queue: low, priority: 3, retry: {delay: 1s}, stall: 1h, retention: {runs: 1d}, max_record: 1MiB, reject_limit: {rows: 1}",
		base + `, format: csv, header: true, delimiter: ",", quote: '"'`,
		`kind: import, table: '"app".t', on_conflict: skip, match: [b, a], set: {d: now on change, c: now on insert}, columns: {b: {null_if: [y, x], field: B, trim: false}, a: {field: A}}`,
	} {
		if hash(same) != hash(base) {
			t.Errorf("hash differs for the same meaning: %s", same)
		}
	}
	seen := map[string]string{}
	for _, other := range []string{
		base,
		base + `, delimiter: ";"`,
		base + `, quote: "'"`,
		"kind: import, table: app.t",
		"kind: import, table: t",
		"kind: import, table: '\"app.t\"'",
		"kind: import, table: app.t, header: false, columns: {a, b}",
		"kind: import, table: app.t, header: false, columns: {b, a}",
		"kind: import, table: app.t, columns: {a, b}",
		"kind: import, table: app.t, columns: {a, b: {trim: true}}",
		"kind: import, table: app.t, columns: {a, b: {null_if: [x]}}",
		"kind: import, table: app.t, columns: {a, b: {null_if: [y]}}",
		"kind: import, table: app.t, columns: {a, b: a}",
		"kind: import, table: app.t, match: [a]",
		"kind: import, table: app.t, match: [a], on_conflict: skip",
		"kind: import, table: app.t, match: [a], on_conflict: update",
		"kind: import, table: app.t, set: {c: now on insert}",
		"kind: import, table: app.t, set: {c: now on change}",
		"kind: own",
		"kind: own2",
		"kind: own, args: {a: 1}",
		"kind: own, args: {a: 1.0}",
		`kind: own, args: {a: "1"}`,
		"kind: own, args: {a: 123456789012345678901}",
		"kind: own, args: {a: 123456789012345678902}",
	} {
		h := hash(other)
		if first, dup := seen[h]; dup {
			t.Errorf("same hash for\n%s\n%s", first, other)
		}
		seen[h] = other
	}
	if hash("kind: own, args: {a: 1, b: {c: 2, d: 3}}") != hash("kind: own, args: {b: {d: 3, c: 2}, a: 1}") {
		t.Error("hash depends on the order of the arguments")
	}
	if (&Job{Kind: "own", Args: []byte("{")}).Hash() == (&Job{Kind: "own", Args: []byte("[")}).Hash() {
		t.Error("arguments that are not JSON have the same hash")
	}
}
