package textin

import (
	"fmt"
	"strings"
)

// maxNamed is how many rivals a question names.
const maxNamed = 3

// between asks which of the encodings it is, with what to do for each.
func (d Detected) between() string {
	named := d.Rivals[:min(len(d.Rivals), maxNamed)]
	names, set, convert := []string{}, []string{"`encoding: " + string(d.Encoding) + "`"}, []string{}
	for _, r := range named {
		names = append(names, r.Name)
		if r.Encoding != "" {
			set = append(set, "`encoding: "+string(r.Encoding)+"`")
		} else {
			convert = append(convert, fmt.Sprintf("`iconv -f %s -t UTF-8 FILE > FILE.utf8`", r.Iconv))
		}
	}
	const begin = "the encoding is not certain: the file "
	if d.Unlike && len(convert) == len(named) {
		return fmt.Sprintf(begin+"looks like %s, which an import cannot read, and not like %s; make it UTF-8 first: %s; if it is %[2]s all the same, set %[4]s",
			either(names), d.Encoding, either(convert), set[0])
	}
	out := fmt.Sprintf(begin+"may be %s; set %s", either(append([]string{string(d.Encoding)}, names...)), either(set))
	if len(convert) > 0 {
		out += "; if it is another, which an import cannot read, make it UTF-8 first: " + either(convert)
	}
	return out
}

func either(names []string) string {
	last := len(names) - 1
	if last == 0 {
		return names[0]
	}
	return strings.Join(names[:last], ", ") + " or " + names[last]
}
