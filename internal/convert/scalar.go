package convert

import (
	"encoding/json"
	"math"
	"regexp"
	"strconv"
	"strings"
)

// Numbers as Ruby reads them in YAML 1.1.
var (
	rubyIntRE   = regexp.MustCompile(`^[-+]?(?:0|[1-9](?:[0-9]|,[0-9]|_[0-9])*|0[0-7_,]+|0b[01_,]+|0[xX][0-9a-fA-F_,]+)$`)
	rubyOtherRE = regexp.MustCompile(`^(?:[-+]?[0-9][0-9_,]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?|[-+]?(?:[0-9][0-9_,]*)?\.[0-9_]*(?:[eE][-+][0-9]+)?|[-+]?\.(?i:inf)|\.(?i:nan)|[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[Tt ].*)?)$`)
)

// integer is the value of a scalar that is a whole number for Ruby: 1_000, 010 (which is 8) and 0x1f among them.
func (n *node) integer() (int64, bool) {
	if n.kind != scalarNode {
		return 0, false
	}
	text := n.text
	if n.quoted || strings.TrimSpace(text) != text {
		if text = strings.TrimSpace(text); len(strings.TrimLeft(text, "-+")) > 1 && strings.HasPrefix(strings.TrimLeft(text, "-+"), "0") {
			return 0, false // octal for some of Ruby's functions, and not for others
		}
	}
	if !rubyIntRE.MatchString(text) {
		return 0, false
	}
	value, err := strconv.ParseInt(strings.NewReplacer("_", "", ",", "").Replace(text), 0, 64)
	return value, err == nil
}

// inexact is true for a number, date or time of Ruby that is not the same in JSON, or not written here as it is there.
func (n *node) inexact() bool {
	if n.kind != scalarNode || n.quoted {
		return false
	}
	return rubyOtherRE.MatchString(n.text) || rubyIntRE.MatchString(n.text)
}

// maxExact is the greatest whole number up to which every program reads JSON alike.
const maxExact = 1 << 53

// jsonNumber writes a scalar that is a number for Ruby as JSON does; false if it is none, or not certainly the same.
func (n *node) jsonNumber() (string, bool) {
	if value, ok := n.integer(); ok && !n.quoted && value <= maxExact && value >= -maxExact {
		return strconv.FormatInt(value, 10), true
	}
	if !n.quoted && isNumber(n.text) && strings.Contains(n.text, ".") {
		return n.text, true
	}
	return "", false
}

// isNumber is true for a number in JSON and in every YAML.
func isNumber(text string) bool {
	digits := strings.TrimPrefix(text, "-")
	if digits == "" || strings.Trim(digits, "0123456789.") != "" || len(digits) > 17 {
		return false
	}
	whole, fraction, isFloat := strings.Cut(digits, ".")
	if whole == "" || whole[0] == '0' && len(whole) > 1 || isFloat && (fraction == "" || strings.Contains(fraction, ".")) {
		return false
	}
	f, err := strconv.ParseFloat(text, 64)
	return err == nil && !math.IsInf(f, 0)
}

// isJSON is true for a text that sidekiq-cron would read as JSON, and sidekiq-scheduler leave as it is.
func isJSON(text string) bool { return json.Valid([]byte(text)) }

// doubtfulKey is true for a name that Ruby reads as a value which JSON writes in another way.
func doubtfulKey(key string) bool {
	n := &node{kind: scalarNode, text: key}
	if is, ok := n.truth(); ok {
		return strconv.FormatBool(is) != key
	}
	number, ok := n.jsonNumber()
	return n.inexact() && (!ok || number != key)
}
