package bulk

import "hash/maphash"

// keyFilter remembers the match keys of the rows that were appended, so that rows whose key was there before can be
// kept out of a direct COPY. It is a Bloom filter: it never forgets a key within a batch, and now and then takes a new
// key for a known one, which makes the row slower but not wrong.
//
// It belongs to the goroutine that fills the batches of a [Writer].
type keyFilter struct {
	folds      []fold // of each written column; foldNone for those that are not in the key
	seed       maphash.Seed
	size       int       // of lines
	lines      []keyLine // nil until the first key
	count      int       // keys since the lines were last empty
	generation int       // how often they were emptied
	key        []byte    // scratch
}

// keyLine is as long as a cache line: a look at a key costs one access to memory. A key sets one bit in each word.
type keyLine [8]uint64

const (
	// filterLines make 8 MiB.
	filterLines = 1 << 17
	// keysPerLine is how many keys a line takes on average before the filter is emptied. At 64 some 3 % of new keys are
	// taken for known ones, at 8 (a million keys in all) one in a million.
	keysPerLine = 64
)

// newKeyFilter returns nil if the writer has no use for one: without a key nothing collides in a way that staging would
// solve, and with triggers all rows are staged anyway.
func newKeyFilter(w *Writer) *keyFilter {
	if len(w.spec.Match) == 0 || w.table.HasInsertTriggers {
		return nil
	}
	f := &keyFilter{folds: make([]fold, len(w.columns)), seed: maphash.MakeSeed(), size: filterLines}
	for i, c := range w.columns {
		if !w.isMatch[i] {
			continue
		}
		if f.folds[i] = foldOf(c); f.folds[i] == foldNone {
			return nil
		}
	}
	return f
}

// begin is called before the first row of a batch and returns the generation. Within a batch nothing may be forgotten, so this
// is where a full filter is emptied.
func (f *keyFilter) begin() int {
	if f.count >= keysPerLine*f.size {
		clear(f.lines)
		f.count = 0
		f.generation++
	}
	return f.generation
}

// add remembers the key of a row and reports whether it was perhaps there before. Rows with equal keys, as the table
// compares them, get the same answer as rows of the same bytes; if that is not certain, sure is false and nothing is
// remembered.
func (f *keyFilter) add(values [][]byte) (hash uint64, known, sure bool) {
	f.key = f.key[:0]
	for i, fold := range f.folds {
		if fold == foldNone {
			continue
		}
		if f.key, sure = fold.append(f.key, values[i]); !sure {
			return 0, false, false
		}
		f.key = append(f.key, 0) // no value contains it
	}
	if f.lines == nil {
		f.lines = make([]keyLine, f.size)
	}
	hash = maphash.Bytes(f.seed, f.key)
	known = f.set(hash)
	if !known {
		f.count++
	}
	return hash, known, true
}

// set sets the bits of a hash and reports whether all of them were set.
func (f *keyFilter) set(hash uint64) bool {
	line := &f.lines[hash>>47&uint64(f.size-1)] // the upper 17 bits choose the line, the lower 48 the bits in it
	known := true
	for i := range line {
		bit := uint64(1) << (hash & 63)
		known = known && line[i]&bit != 0
		line[i] |= bit
		hash >>= 6
	}
	return known
}
