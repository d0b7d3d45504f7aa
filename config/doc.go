// Package config reads tidemill.yaml into typed definitions.
//
// The package is pure data: it knows no River and no database. [Load] and
// [Parse] check everything that the text alone can show and report all problems
// of a file at once, each with its line and column ([Errors]). Checks against a
// live database belong to the caller, who words them with [Config.Errorf] so
// that they point into the file as well.
//
// One set of tables (the files whose names end in fields.go) lists every field with its type,
// default and meaning. The parser, the suggestions for misspelled fields,
// [Schema] and [Reference] are all made from these tables.
//
// # Replacement of names
//
// ${NAME} and ${NAME:-default} are replaced in parsed values, never in keys and
// never in the text, so a value from outside cannot change the structure of the
// file. The default is taken when the name is unset or empty, as in a shell, and
// ends at the first closing brace. $$ is a dollar. Where a number, a truth value,
// a duration and so on is expected, a quoted "${NAME}" serves as well as a bare
// one, because a flow mapping needs the quotes. Where text is expected, the
// replacement is always text, even if it looks like a number.
//
// # YAML
//
// Anchors, aliases and merge keys work; tags, directives and several documents
// are refused. A field without a value is an error, except that a section or
// list without content counts as absent.
package config
