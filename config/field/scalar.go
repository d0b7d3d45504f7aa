package field

import "regexp"

var (
	intRE   = regexp.MustCompile(`^[-+]?[0-9]+$`)
	floatRE = regexp.MustCompile(`^[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?$`)
)

// plainKind tells what an unquoted scalar is, by the core schema of YAML 1.2.
// The YAML library follows older rules, in which 010 is eight and 1_0 is ten.
// Hexadecimal, octal, infinite and undefined numbers count as text: no field
// takes them.
func plainKind(text string) NodeKind {
	switch text {
	case "", "~", "null", "Null", "NULL":
		return NullNode
	case "true", "True", "TRUE", "false", "False", "FALSE":
		return boolNode
	}
	if intRE.MatchString(text) {
		return IntNode
	}
	if floatRE.MatchString(text) {
		return floatNode
	}
	return TextNode
}
