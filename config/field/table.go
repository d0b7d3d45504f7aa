package field

import (
	"slices"
	"strings"
)

// ownPrefix begins the names of top-level fields that mean nothing here.
const ownPrefix = "x-"

// Type is one form in which a value may be written: how it is read, and how the
// schema and the reference describe it.
type Type[V any] interface {
	// Read checks v and stores it. It reports problems to d and then leaves into
	// as it was.
	Read(d *Checker, v Value, into *V)
	Meta() Meta
}

// Meta describes a type to the generators.
type Meta struct {
	Words    string         // for people, to be shown in a table: "whole number, 1 to 4"
	Schema   map[string]any // JSON Schema, without description and default
	Optional bool           // an empty value counts as absent: sections and lists
	secret   bool           // the value, or those of its keys, is never shown

	Keys     string               // what stands for a key of a mapping with free keys: JOB
	Fields   []Info               // of a mapping with fixed keys, or of each value under keys
	Variants []Variant            // further fields, by the value of one
	FieldsOf func(n *Node) []Info // with variants: all fields of the mapping n under a key
}

// Variant is a set of fields that only mappings of one kind have.
type Variant struct {
	Title, Doc string
	Fields     []Info // beside those of the shape
}

// Info is what the generators need of a field.
type Info struct {
	Name, Doc string
	Default   string // as it would be in the file; empty: none
	Inherits  string // in place of def: where the value comes from when absent
	required  bool
	Meta      Meta
}

// Field is one line of a field table.
type Field[T any] struct {
	Info
	read  func(d *Checker, v Value, into *T)
	reset func(d *Checker, into *T)
}

// Table is the field table of a T, in the order in which fields are read.
type Table[T any] []Field[T]

// Row makes a line of a table. def is YAML; empty means the zero value or, for a
// section, the defaults of its own fields.
func Row[T, V any](name string, t Type[V], def, doc string, target func(*T) *V) Field[T] {
	f := Field[T]{Info: Info{Name: name, Default: def, Doc: doc, Meta: t.Meta()}}
	f.read = func(d *Checker, v Value, into *T) { t.Read(d, v, target(into)) }
	switch s, ok := t.(interface{ Reset(*Checker, *V) }); {
	case ok:
		f.reset = func(d *Checker, into *T) { s.Reset(d, target(into)) }
	case def != "":
		v := Value{Node: yamlDefault(def), at: Path{name}}
		f.reset = func(d *Checker, into *T) { t.Read(d, v, target(into)) }
	default:
		f.reset = func(*Checker, *T) {}
	}
	return f
}

// Require marks a field that must be given.
func (f Field[T]) Require() Field[T] {
	f.required = true
	return f
}

// Inherit says where the value comes from when the field is absent.
func (f Field[T]) Inherit(where string) Field[T] {
	f.Inherits = where
	return f
}

// Inherited describes the fields of a section that takes what it does not say from
// the section at where. The caller fills in the inherited values.
func Inherited[T any](where string, fields Table[T]) Table[T] {
	out := slices.Clone(fields)
	for i := range out {
		out[i].Default, out[i].Inherits = "", "`"+where+"."+out[i].Name+"`"
	}
	return out
}

func (o Table[T]) Infos() []Info {
	out := make([]Info, len(o))
	for i, f := range o {
		out[i] = f.Info
	}
	return out
}

func (o Table[T]) Reset(d *Checker, into *T) {
	for _, f := range o {
		f.reset(d, into)
	}
}

// ReadFields stores the fields of the mapping v that o knows; see checkFields for
// the others.
func (o Table[T]) ReadFields(d *Checker, v Value, into *T) {
	for _, f := range o {
		e, ok := v.Node.Find(f.Name)
		switch {
		case !ok && f.required:
			d.report(v.Pos, v.at, "add "+f.Name+":", "%s is missing", f.Name)
		case !ok:
		case e.Value.Kind == NullNode && f.Meta.Optional && !f.required:
		default:
			f.read(d, v.Entry(e), into)
		}
	}
}

// CheckFields reports the fields of the mapping v that are not among known. At the top those that begin with x- are the user's own: places
// for anchors.
func CheckFields(d *Checker, v Value, known []Info) {
	names := make([]string, len(known))
	for i, f := range known {
		names[i] = f.Name
	}
	for _, e := range v.Node.Entries {
		if own := len(v.at) == 0 && strings.HasPrefix(e.Key, ownPrefix); !own && !slices.Contains(names, e.Key) {
			d.ProblemAt(v.Entry(e), DidYouMean(e.Key, names), "unknown field")
		}
	}
}

// Section is a mapping with the fields of an object.
type Section[T any] struct{ Fields Table[T] }

func (s Section[T]) Read(d *Checker, v Value, into *T) {
	if !d.Is(v, MapNode, "a mapping") {
		return
	}
	CheckFields(d, v, s.Fields.Infos())
	s.Fields.ReadFields(d, v, into)
}

func (s Section[T]) Reset(d *Checker, into *T) { s.Fields.Reset(d, into) }

func (s Section[T]) Meta() Meta {
	fields := s.Fields.Infos()
	return Meta{
		Words:    "mapping",
		Schema:   ObjectSchema(fields),
		Optional: true,
		Fields:   fields,
	}
}
