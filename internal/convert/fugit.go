package convert

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tidemill/tidemill/internal/cron"
)

// readFugit reads what sidekiq-cron and sidekiq-scheduler give to the library fugit: five fields, six with seconds, a zone
// after them, or words.
func readFugit(text string) (when, *refusal) {
	fields := strings.Fields(text)
	zone := ""
	if n := len(fields); n >= 2 && isZone(fields[n-1]) && (n >= 6 || strings.HasPrefix(fields[0], "@") || strings.EqualFold(fields[0], "every")) {
		zone, fields = fields[n-1], fields[:n-1]
	}
	switch {
	case len(fields) > 0 && strings.EqualFold(fields[0], "every"):
		return readWords(fields, zone)
	case len(fields) == 1 && fields[0] == "@noon":
		return readCron("0 12 * * *", zone)
	case len(fields) == 6:
		return readSeconds(fields, zone)
	}
	return readFugitCron(fields, zone)
}

func isZone(name string) bool {
	_, err := cron.Parse(cron.Spec{Cron: "@daily", Timezone: name})
	return err == nil
}

// readFugitCron makes the instants of fugit's reading of five fields. It takes any two day fields that are not * as one or the
// other, where here a field that begins with * needs both.
func readFugitCron(fields []string, zone string) (when, *refusal) {
	if len(fields) != 5 {
		return readCron(strings.Join(fields, " "), zone)
	}
	for i, text := range fields {
		if refused := differs(text, i); refused != nil {
			return when{}, refused
		}
	}
	dom, dow := fields[2], fields[4]
	if !isStar(dom) && !isStar(dow) {
		if w, refused := readCron("0 0 "+dom+" * *", zone); refused == nil && w.everyDay() {
			return when{}, &refusal{"the versions of fugit differ: for some, days of the month that are all of them count as *, for others every day is due",
				"write * for the day of the month, or for the day of the week"}
		}
		fields = slices.Clone(fields)
		fields[2], fields[4] = spelled(dom, "1-31"), spelled(dow, "0-6")
	}
	return readCron(strings.Join(fields, " "), zone)
}

// everyDay looks at a month of 31 days.
func (w when) everyDay() bool {
	s, err := cron.Parse(cron.Spec{Cron: w.cron})
	first := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	return err == nil && len(s.Between(first.Add(-1), first.AddDate(0, 0, 30), 32)) == 31
}

func isStar(text string) bool { return text == "*" || text == "*/1" }

// spelled writes */2 as 1-31/2.
func spelled(text, all string) string {
	items := strings.Split(text, ",")
	for i, item := range items {
		if step, ok := strings.CutPrefix(item, "*/"); ok {
			items[i] = all + "/" + step
		}
	}
	return strings.Join(items, ",")
}

// differs refuses what fugit reads otherwise than cron, and its own versions differently from each other.
func differs(text string, field int) *refusal {
	items := strings.Split(text, ",")
	for _, item := range items {
		span, step, stepped := strings.Cut(item, "/")
		low, high, ranged := strings.Cut(span, "-")
		switch {
		case stepped && !ranged && span != "*":
			return &refusal{fmt.Sprintf("%q: the versions of fugit differ: for some it is %s alone, for others steps from there on", item, span),
				fmt.Sprintf("write %s, or a range with its end, like %s-N/%s", span, span, step)}
		case isStar(item) && len(items) > 1:
			return &refusal{fmt.Sprintf("%q: fugit does not take a * in a list for all values everywhere", text), "write * alone, or leave it out"}
		case field == 4 && ranged && strings.EqualFold(high, "sun") && !strings.EqualFold(low, "sun") && low != "0" && low != "7":
			return &refusal{fmt.Sprintf("%q: the versions of fugit differ on a range that ends with sun", item), fmt.Sprintf("write %s-sat,sun", low)}
		}
	}
	return nil
}

// readSeconds reads an expression that begins with seconds: those of the full minute need no more than five fields, and
// even steps through all of time are an interval.
func readSeconds(fields []string, zone string) (when, *refusal) {
	if strings.Trim(fields[0], "0") == "" {
		return readFugitCron(fields[1:], zone)
	}
	step := 1
	if text, stepped := strings.CutPrefix(fields[0], "*/"); stepped {
		var err error
		if step, err = strconv.Atoi(text); err != nil || step < 1 || 60%step != 0 {
			step = 0
		}
	} else if fields[0] != "*" {
		step = 0
	}
	if step == 0 || strings.Join(fields[1:], " ") != "* * * * *" {
		return when{}, &refusal{"there are no seconds here, but for even steps", `leave the seconds away, or write every: 30s`}
	}
	return when{every: time.Duration(step) * time.Second}, nil
}

const timeOfDay = `(?: at (noon|midnight|zero|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|(\d{1,2})(?::(\d{2}))?)(?: ?(am|pm))?)?(?: (?:in|on))?$`

var (
	stepRE  = regexp.MustCompile(`^every (?:(\d{1,4}) ?)?(s|sec|second|m|min|minute|h|hour|d|day|month|w|week|year)s?$`)
	dayRE   = regexp.MustCompile(`^every (day|weekday|sunday|monday|tuesday|wednesday|thursday|friday|saturday|sun|mon|tue|wed|thu|fri|sat)` + timeOfDay)
	monthRE = regexp.MustCompile(`^every (month)` + timeOfDay)
	fugitM  = regexp.MustCompile(`^(\d*)M$`)
)

// readWords reads the plainest of fugit's sentences, each as fugit reads it.
func readWords(fields []string, zone string) (when, *refusal) {
	fields = slices.Clone(fields)
	for i, text := range fields { // M is a month, m is a minute
		if m := fugitM.FindStringSubmatch(text); m != nil {
			fields[i] = strings.TrimSpace(m[1] + " months")
		}
	}
	text := strings.ToLower(strings.Join(fields, " "))
	if m := stepRE.FindStringSubmatch(text); m != nil {
		n := 1
		if m[1] != "" {
			n, _ = strconv.Atoi(m[1]) // digits
		}
		if w, ok := readStep(n, m[2], zone); ok {
			return w, nil
		}
		return when{}, &refusal{"fugit does not take it for even steps", "write it as a cron expression or as every:"}
	}
	for _, sentence := range []*regexp.Regexp{dayRE, monthRE} {
		m := sentence.FindStringSubmatch(text)
		if m == nil {
			continue
		}
		if hour, minute, ok := readTime(m[2], m[3], m[4], m[5]); ok {
			day := "* * " + weekday(m[1])
			if m[1] == "month" {
				day = "1 * *"
			}
			return readCron(fmt.Sprintf("%d %d %s", minute, hour, day), zone)
		}
	}
	return when{}, &refusal{"this sentence is not among the plain ones that are understood", "write it as a cron expression"}
}

// readStep reads steps. Those of days and months begin again with each month and year, as fugit's do.
func readStep(n int, unit, zone string) (when, bool) {
	at := func(format string, args ...any) (when, bool) {
		return when{cron: fmt.Sprintf(format, args...), zone: zone}, true
	}
	month := unit == "month"
	switch unit := unit[0]; {
	case n < 1:
	case month && n == 1:
		return at("0 0 1 * *")
	case month && n <= 12:
		return at("0 0 1 */%d *", n)
	case month:
	case unit == 's' && 60%n == 0:
		return when{every: time.Duration(n) * time.Second}, true
	case unit == 'm' && n == 1:
		return at("* * * * *")
	case unit == 'm' && n < 60 && 60%n == 0:
		return at("*/%d * * * *", n)
	case unit == 'h' && n == 1:
		return at("0 * * * *")
	case unit == 'h' && n < 24 && 24%n == 0:
		return at("0 */%d * * *", n)
	case unit == 'd' && n == 1:
		return at("0 0 * * *")
	case unit == 'd' && n <= 31:
		return at("0 0 */%d * *", n)
	case unit == 'w' && n == 1:
		return at("0 0 * * 0")
	case unit == 'y' && n == 1:
		return at("0 0 1 1 *")
	}
	return when{}, false
}

func readTime(text, hourText, minuteText, half string) (hour, minute int, ok bool) {
	numerals := strings.Fields("zero one two three four five six seven eight nine ten eleven twelve")
	switch text {
	case "", "midnight":
		return 0, 0, half == ""
	case "noon":
		return 12, 0, half == ""
	}
	hour, _ = strconv.Atoi(hourText) // digits
	if i := slices.Index(numerals, text); i >= 0 {
		hour = i
	}
	minute, _ = strconv.Atoi(minuteText) // digits or nothing
	if half != "" {
		if hour < 1 || hour > 12 {
			return 0, 0, false
		}
		hour %= 12
		if half == "pm" {
			hour += 12
		}
	}
	return hour, minute, hour < 24 && minute < 60
}

func weekday(name string) string {
	switch name {
	case "day":
		return "*"
	case "weekday":
		return "1-5"
	}
	return name[:3]
}
