// Package field reads YAML by tables of fields: each row has a name, a type, a default, what it means, and where its value goes. The parser,
// the errors with line and column, the suggestions for misspelled names, the JSON Schema and the reference are all made from the tables. It
// does not know Tidemill.
package field
