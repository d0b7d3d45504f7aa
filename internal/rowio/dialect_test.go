package rowio

import (
	"strings"
	"testing"
)

func TestDetectDialect(t *testing.T) {
	t.Parallel()

	tests := []struct {
		name   string
		sample string
		want   Dialect // what is set
		got    Dialect
		unsure bool
	}{
		{name: "plain", sample: "id,name,email\n1,Mika,a@example.com\n2,Ann,b@example.com\n", got: Dialect{',', '"'}},
		{name: "spreadsheet", sample: "\ufeffid;name;price\r\n1;\"Tanaka, Mika\";1.234,50\r\n2;Ann;2,00\r\n", got: Dialect{';', '"'}},
		{name: "tabs", sample: "id\tname\tnote\n1\tMika\tred, green, blue\n2\tAnn\tred, blue\n", got: Dialect{'\t', '"'}},
		{name: "pipes", sample: "id|name\n1|a;b\n2|c;d\n", got: Dialect{'|', '"'}},
		{name: "apostrophes as quotes", sample: "'id','name'\n'1','Tanaka, Mika'\n'2','O''Brien'\n", got: Dialect{',', '\''}},
		{name: "apostrophes as text", sample: "id,name\n1,O'Brien\n2,'t Hart\n", got: Dialect{',', '"'}},
		{name: "no header, numbers", sample: "1,Mika,2024-01-02\n2,Ann,2024-01-03\n", got: Dialect{',', '"'}},
		{name: "no header, repeated words", sample: "Mika,open\nAnn,open\nJo,closed\n", got: Dialect{',', '"'}},
		{name: "no header, addresses", sample: "Mika,a@example.com\nAnn,b@example.com\n", got: Dialect{',', '"'}},
		{name: "Japanese header", sample: "番号,氏名,登録日\n1,田中,2024/01/02\n2,佐藤,2024/01/03\n", got: Dialect{',', '"'}},
		{name: "header with years", sample: "name,sales 2023,sales 2024\nA,1,2\nB,3,4\n", got: Dialect{',', '"'}},
		{name: "header with an empty name", sample: ",name\n1,Mika\n2,Ann\n", got: Dialect{',', '"'}},
		{name: "all text", sample: "first,last\nMika,Tanaka\nAnn,Smith\n", got: Dialect{',', '"'}},
		{name: "one column", sample: "email\na@example.com\nb@example.com\n", got: Dialect{',', '"'}},
		{name: "quoted line ends", sample: "id;text\n1;\"a,b\nc,d\ne,f\"\n2;x\n", got: Dialect{';', '"'}},
		{name: "a stray quote", sample: "id;size\n1;5\" pipe\n2;x\n3;y\n4;z\n", got: Dialect{';', '"'}},
		{name: "commas in numbers", sample: "id;a;b\n1;1,5;2,5\n2;3,5;4,5\n", got: Dialect{';', '"'}},
		{name: "ragged", sample: "id,name,note\n1,Mika\n2,Ann,x\n3,Jo,y,z\n4,Al,a,b,c\n5\n", got: Dialect{',', '"'}, unsure: true},
		{name: "ragged, two records", sample: "id,name,note\n1,Mika\n", got: Dialect{',', '"'}, unsure: true},
		{name: "one column with commas", sample: "note\nred, green\nblue, grey\nno comma\n", got: Dialect{';', '"'}},
		{name: "header only", sample: "id;name\n", got: Dialect{';', '"'}},
		{name: "nothing", sample: "", got: Dialect{',', '"'}, unsure: true},
		{name: "all set", sample: "a;b\n", want: Dialect{'|', '\''}, got: Dialect{'|', '\''}},
		{name: "delimiter set", sample: "id;n,m\n1;2,3\n", want: Dialect{Delimiter: ','}, got: Dialect{',', '"'}},
		{name: "delimiter set to the quote", sample: "a,b\n", want: Dialect{Delimiter: '"', Quote: '"'}, got: Dialect{'"', '"'}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := DetectDialect([]byte(tt.sample), true, tt.want, 0)
			if d.Dialect != tt.got {
				t.Errorf("%q %q, want %q %q; %s", d.Delimiter, d.Quote, tt.got.Delimiter, tt.got.Quote, d.Why)
			}
			if unsure := d.Confidence < 0.6; unsure != tt.unsure {
				t.Errorf("confidence %.2f: %s", d.Confidence, d.Why)
			}
			if (d.Why == "") != (tt.want.Delimiter != 0) {
				t.Errorf("why %q", d.Why)
			}
		})
	}
}

func TestDetectDialectOfACutSample(t *testing.T) {
	t.Parallel()

	sample := "# made by hand\nid;name;note\n1;Mika;x\n2;Ann;\"a long no"
	d := DetectDialect([]byte(sample), false, Dialect{}, '#')
	if d.Dialect != (Dialect{';', '"'}) || d.Confidence < 0.9 {
		t.Errorf("%+v", d)
	}
	if !strings.Contains(d.Why, `delimiter ";" gives 3 fields in 2 of 2 records`) {
		t.Errorf("why %q", d.Why)
	}
}

func FuzzDetectDialect(f *testing.F) {
	f.Add([]byte("id;name\n1;Mika\n"), true, byte(0), byte(0))
	f.Add([]byte("'a\n',\"\n"), false, byte('\n'), byte(','))
	f.Fuzz(func(t *testing.T, sample []byte, whole bool, comma, quote byte) {
		d := DetectDialect(sample, whole, Dialect{Delimiter: comma, Quote: quote}, 0)
		if d.Delimiter == 0 || d.Quote == 0 || d.Confidence < 0 || d.Confidence > 1 {
			t.Errorf("%+v", d)
		}
		if comma != 0 && d.Delimiter != comma || quote != 0 && d.Quote != quote {
			t.Errorf("%+v, set were %q and %q", d, comma, quote)
		}
	})
}
