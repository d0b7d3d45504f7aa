package sampledata

import "math/bits"

// permutation is a random order of [0, n) that needs no memory: a Feistel
// network over the next even number of bits, walked until it lands below n.
// The zero value keeps the order.
type permutation struct {
	n    uint64
	half uint   // bits of one half
	mask uint64 // of one half
	keys [4]uint64
}

func newPermutation(n, seed uint64) permutation {
	half := max(uint(bits.Len64(n)+1)/2, 1)
	p := permutation{n: n, half: half, mask: 1<<half - 1}
	for i := range p.keys {
		seed = mix(seed + 0x9e3779b97f4a7c15)
		p.keys[i] = seed
	}
	return p
}

// at is the place of i, which must be below n. Any round function gives a
// permutation; one multiplication mixes enough for sample data.
func (p *permutation) at(i uint64) uint64 {
	if p.n == 0 {
		return i
	}
	for {
		left, right := i>>p.half, i&p.mask
		for _, key := range p.keys {
			left, right = right, left^(right+key)*0xbf58476d1ce4e5b9>>32&p.mask
		}
		i = left<<p.half | right
		if i < p.n {
			return i
		}
	}
}

// mix is the finalizer of SplitMix64.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
