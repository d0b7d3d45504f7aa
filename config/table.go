package config

import (
	"slices"
	"strings"
)

// ownPrefix begins the names of top-level fields that mean nothing here.
const ownPrefix = "x-"

// typ is one form in which a value may be written: how it is read, and how the
// schema and the reference describe it.
type typ[V any] interface {
	// read checks v and stores it. It reports problems to d and then leaves into
	// as it was.
	read(d *decoder, v value, into *V)
	shape() shape
}

// shape describes a type to the generators.
type shape struct {
	words    string         // for people, to stand in a table: "whole number, 1 to 4"
	schema   map[string]any // JSON Schema, without description and default
	optional bool           // an empty value counts as absent: sections and lists
	secret   bool           // the value, or those of its keys, is never shown

	keys     string               // what stands for a key of a mapping with free keys: JOB
	fields   []info               // of a mapping with fixed keys, or of each value under keys
	variants []variant            // further fields, by the value of one
	fieldsOf func(n *node) []info // with variants: all fields of the mapping n under a key
}

// variant is a set of fields that only mappings of one kind have.
type variant struct {
	title, doc string
	fields     []info // beside those of the shape
}

// info is what the generators need of a field.
type info struct {
	name, doc string
	def       string // as it would stand in the file; empty: none
	inherits  string // in place of def: where the value comes from when absent
	required  bool
	shape     shape
}

// field is one line of a field table.
type field[T any] struct {
	info
	read  func(d *decoder, v value, into *T)
	reset func(d *decoder, into *T)
}

// object is the field table of a T, in the order in which fields are read.
type object[T any] []field[T]

// row makes a line of a table. def is YAML; empty means the zero value or, for a
// section, the defaults of its own fields.
func row[T, V any](name string, t typ[V], def, doc string, target func(*T) *V) field[T] {
	f := field[T]{info: info{name: name, def: def, doc: doc, shape: t.shape()}}
	f.read = func(d *decoder, v value, into *T) { t.read(d, v, target(into)) }
	switch s, ok := t.(interface{ reset(*decoder, *V) }); {
	case ok:
		f.reset = func(d *decoder, into *T) { s.reset(d, target(into)) }
	case def != "":
		v := value{node: yamlDefault(def), at: path{name}}
		f.reset = func(d *decoder, into *T) { t.read(d, v, target(into)) }
	default:
		f.reset = func(*decoder, *T) {}
	}
	return f
}

// needed marks a field that must be given.
func (f field[T]) needed() field[T] {
	f.required = true
	return f
}

// from says where the value comes from when the field is absent.
func (f field[T]) from(where string) field[T] {
	f.inherits = where
	return f
}

// inherited describes the fields of a section that takes what it does not say from
// the section at where. The caller fills in the inherited values.
func inherited[T any](where string, fields object[T]) object[T] {
	out := slices.Clone(fields)
	for i := range out {
		out[i].def, out[i].inherits = "", "`"+where+"."+out[i].name+"`"
	}
	return out
}

func (o object[T]) infos() []info {
	out := make([]info, len(o))
	for i, f := range o {
		out[i] = f.info
	}
	return out
}

func (o object[T]) reset(d *decoder, into *T) {
	for _, f := range o {
		f.reset(d, into)
	}
}

// readFields stores the fields of the mapping v that o knows; see checkFields for
// the others.
func (o object[T]) readFields(d *decoder, v value, into *T) {
	for _, f := range o {
		e, ok := v.node.find(f.name)
		switch {
		case !ok && f.required:
			d.failAt(v.pos, v.at, "add "+f.name+":", "%s is missing", f.name)
		case !ok:
		case e.value.kind == nullNode && f.shape.optional && !f.required:
		default:
			f.read(d, v.entry(e), into)
		}
	}
}

// checkFields reports the fields of the mapping v that are not among known. At the top those that begin with x- are the user's own: places
// for anchors.
func checkFields(d *decoder, v value, known []info) {
	names := make([]string, len(known))
	for i, f := range known {
		names[i] = f.name
	}
	for _, e := range v.node.entries {
		if own := len(v.at) == 0 && strings.HasPrefix(e.key, ownPrefix); !own && !slices.Contains(names, e.key) {
			d.fail(v.entry(e), didYouMean(e.key, names), "unknown field")
		}
	}
}

// section is a mapping with the fields of an object.
type section[T any] struct{ fields object[T] }

func (s section[T]) read(d *decoder, v value, into *T) {
	if !d.is(v, mapNode, "a mapping") {
		return
	}
	checkFields(d, v, s.fields.infos())
	s.fields.readFields(d, v, into)
}

func (s section[T]) reset(d *decoder, into *T) { s.fields.reset(d, into) }

func (s section[T]) shape() shape {
	fields := s.fields.infos()
	return shape{
		words:    "mapping",
		schema:   objectSchema(fields),
		optional: true,
		fields:   fields,
	}
}
