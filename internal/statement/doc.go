// Package statement runs SQL that is in a configuration: it binds :name, gives the values of params to the server, and says what the server
// says against the SQL with the line and the column where it is.
package statement
