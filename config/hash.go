package config

import (
	"bytes"
	"cmp"
	"encoding/json"
	"maps"
	"slices"
)

// definition holds what changes the meaning of a job and nothing else. Version
// changes when the encoding does, since two versions of Tidemill may run at once.
type definition struct {
	Version int
	Kind    string
	Import  *importDefinition  `json:",omitempty"`
	HTTP    *httpDefinition    `json:",omitempty"`
	Command *commandDefinition `json:",omitempty"`
	Email   *emailDefinition   `json:",omitempty"`
	SQL     string             `json:",omitempty"`
	Cleanup *cleanupDefinition `json:",omitempty"`
	Export  *exportDefinition  `json:",omitempty"`
	Each    *eachDefinition    `json:",omitempty"`
	Args    any                `json:",omitempty"`
	Params  []paramDefinition  `json:",omitempty"`
}

type importDefinition struct {
	Table            Table
	Format           string
	Header           bool
	Delimiter, Quote byte
	Encoding         string `json:",omitempty"`
	Compression      string `json:",omitempty"`
	Comment          byte   `json:",omitempty"`
	Ragged           string `json:",omitempty"`
	Columns          []Column
	Set              []SetRule
	Match            []string
	OnConflict       string
	Mode             string `json:",omitempty"`
}

type httpDefinition struct {
	URL, Method string
	Headers     []string // names: a value may be a password that changes every month
}

type commandDefinition struct {
	Argv []string
	Dir  string
	Env  []string // names, as of headers
}

type emailDefinition struct {
	From, ReplyTo string
	To, CC, BCC   []string
	Subject       string
	Template      string
	Text, HTML    string
	Attach        []string
}

type eachDefinition struct {
	Query   string
	OrderBy []string
	Batch   int
	Job     string
	Params  any
}

type paramDefinition struct {
	Name, Type string
	Default    any
	Required   bool
}

// Hash is the version of the definition, as a SHA-256 in hexadecimal: runs of jobs
// with different hashes are never the same run. It covers what changes the meaning
// (for an import: table, format, header, delimiter, quote, columns with the form of their values, set, match,
// on_conflict and mode; for a request: url, method and the names of the headers; for a command:
// argv, dir and the names in env; for a mail: all but timeout; for a statement: the
// statement; for an export: all but ranges, timeout, chunk and expire; for a clean-up: rules and archive; for kind each: all; for a kind of the user's own: kind and args; for any: the params with
// type and default), not how the job is run (queue, priority, retry, stall, timeout,
// limits), nor where the files of an import are, and no secret. The order in which columns, rules, params and arguments are
// written does not matter, nor does the name of the job.
func (j *Job) Hash() string {
	def := definition{Version: 1, Kind: j.Kind}
	if i := j.Import; i != nil {
		def.Import = &importDefinition{
			Table: i.Table, Format: i.Format, Header: i.Header, Delimiter: i.Delimiter, Quote: i.Quote,
			Encoding: i.Encoding, Compression: i.Compression, Comment: i.Comment,
			Columns: sortedColumns(i.Columns),
			Set: slices.SortedFunc(slices.Values(i.Set), func(a, b SetRule) int {
				return cmp.Compare(a.Column, b.Column)
			}),
			Match:      slices.Sorted(slices.Values(i.Match)),
			OnConflict: i.OnConflict,
		}
		if i.Ragged != RaggedReject {
			def.Import.Ragged = i.Ragged
		}
		if i.Mode != Chunked {
			def.Import.Mode = i.Mode
		}
	}
	if h := j.HTTP; h != nil {
		def.HTTP = &httpDefinition{URL: h.URL, Method: h.Method, Headers: slices.Sorted(maps.Keys(h.Headers))}
	}
	if c := j.Command; c != nil {
		def.Command = &commandDefinition{Argv: c.Argv, Dir: c.Dir, Env: slices.Sorted(maps.Keys(c.Env))}
	}
	if e := j.Email; e != nil {
		def.Email = &emailDefinition{
			From: e.From, ReplyTo: e.ReplyTo, To: e.To, CC: e.CC, BCC: e.BCC, Subject: e.Subject,
			Template: e.Template, Text: e.Text, HTML: e.HTML, Attach: e.Attach,
		}
	}
	if j.SQL != nil {
		def.SQL = j.SQL.Statement
	}
	if j.Export != nil {
		def.Export = j.Export.definition()
	}
	if c := j.Cleanup; c != nil {
		def.Cleanup = &cleanupDefinition{Rules: c.Rules, Archive: c.Archive}
	}
	if e := j.Each; e != nil {
		def.Each = &eachDefinition{Query: e.Query, OrderBy: e.OrderBy, Batch: e.Batch, Job: e.Enqueue.Job, Params: plainJSON(e.Enqueue.Params)}
	}
	def.Args = plainJSON(j.Args)
	for _, p := range j.Params {
		def.Params = append(def.Params, paramDefinition{p.Name, p.Type, plainJSON(p.Default), p.Default == nil})
	}
	slices.SortFunc(def.Params, func(a, b paramDefinition) int { return cmp.Compare(a.Name, b.Name) })
	return digest(def) // sorts the keys of Args
}

// plainJSON is the value of data, nil for none.
func plainJSON(data json.RawMessage) any {
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

func sortedColumns(columns []Column) []Column {
	out := slices.SortedFunc(slices.Values(columns), func(a, b Column) int {
		return cmp.Compare(a.Target, b.Target)
	})
	for i := range out {
		out[i].NullIf = slices.Sorted(slices.Values(out[i].NullIf))
		out[i].TrueIf, out[i].FalseIf = slices.Sorted(slices.Values(out[i].TrueIf)), slices.Sorted(slices.Values(out[i].FalseIf))
	}
	return out
}
