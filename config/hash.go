package config

import (
	"bytes"
	"cmp"
	"encoding/json"
	"slices"
)

type paramDefinition struct {
	Name, Type string
	Default    any
	Required   bool
}

// Hash is the version of the definition, as a SHA-256 in hexadecimal: runs of jobs with different hashes are never the same run.
// It covers what changes the meaning, which each kind says ([Spec.Identity]), and the params with type and default; for a kind of
// the user's own, kind and args. It does not cover how the job is run (queue, priority, retry, stall, timeout, limits), where
// the files of an import are, nor secrets. The order in which columns, params and arguments are written does not matter, nor does the
// name of the job.
func (j *Job) Hash() string {
	// Version changes when the encoding does, since two versions of Tidemill may run at once.
	def := []member{{"Version", 1}, {"Kind", j.Kind}}
	if j.Spec != nil {
		name, identity := j.Spec.Identity()
		def = append(def, member{name, identity})
	}
	if args := PlainJSON(j.Args); args != nil {
		def = append(def, member{"Args", args})
	}
	var params []paramDefinition
	for _, p := range j.Params {
		params = append(params, paramDefinition{p.Name, p.Type, PlainJSON(p.Default), p.Default == nil})
	}
	if params != nil {
		slices.SortFunc(params, func(a, b paramDefinition) int { return cmp.Compare(a.Name, b.Name) })
		def = append(def, member{"Params", params})
	}
	return digestOf(def)
}

// member is one of a JSON object whose order counts.
type member struct {
	name  string
	value any
}

// PlainJSON is the value of data, nil for none.
func PlainJSON(data json.RawMessage) any {
	if len(data) == 0 {
		return nil
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber() // as written: 1e400 and long integers stay what they are
	var v any
	if err := dec.Decode(&v); err != nil {
		return string(data) // set by hand and not JSON; River refuses it later
	}
	return v
}
