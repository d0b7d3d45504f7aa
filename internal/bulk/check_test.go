package bulk

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const checkSchema = `
CREATE SCHEMA app;
CREATE TABLE app.users (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	email text NOT NULL UNIQUE,
	name varchar(40),
	lower_name text GENERATED ALWAYS AS (lower(name)) STORED,
	born date,
	tenant int NOT NULL,
	code text UNIQUE DEFERRABLE,
	nick text,
	created_at timestamptz NOT NULL DEFAULT now(),
	UNIQUE (tenant, name) INCLUDE (born)
);
CREATE UNIQUE INDEX users_nick ON app.users (nick) WHERE nick <> '';
CREATE UNIQUE INDEX users_born ON app.users (born, lower(name));
CREATE UNIQUE INDEX users_collated ON app.users (name COLLATE "C");
CREATE VIEW app.v AS SELECT * FROM app.users;
CREATE TABLE app.ruled (a int);
CREATE RULE r AS ON INSERT TO app.ruled DO INSTEAD NOTHING;
CREATE DOMAIN app.short AS varchar(3) DEFAULT 'x';
CREATE DOMAIN app.shorter AS app.short;
CREATE TABLE app.typed (d app.shorter NOT NULL, e int);
CREATE TABLE app.parted (a int) PARTITION BY LIST (a);
CREATE TABLE app.part PARTITION OF app.parted DEFAULT;
CREATE FUNCTION app.f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER f BEFORE INSERT ON app.part FOR EACH ROW EXECUTE FUNCTION app.f();
CREATE TRIGGER g BEFORE UPDATE ON app.typed FOR EACH ROW EXECUTE FUNCTION app.f();
CREATE TRIGGER h AFTER INSERT ON app.typed FOR EACH ROW EXECUTE FUNCTION app.f();
`

func TestDescribe(t *testing.T) {
	t.Parallel()
	s := setup(t, checkSchema)
	users, err := Describe(s.ctx, s.conn, "app", "users")
	if err != nil {
		t.Fatal(err)
	}
	if users.Ident() != `"app"."users"` || users.Kind != 'r' || users.OID == 0 || users.RLS || users.HasInsertTriggers {
		t.Errorf("%+v", users)
	}
	type column struct {
		TypeName                                    string
		NotNull, HasDefault, Generated, IdentityAlw bool
	}
	got := map[string]column{}
	for _, c := range users.Columns {
		got[c.Name] = column{c.TypeName, c.NotNull, c.HasDefault, c.Generated, c.IdentityAlways}
	}
	want := map[string]column{
		"id":         {"bigint", true, true, false, true},
		"email":      {"text", true, false, false, false},
		"name":       {"character varying(40)", false, false, false, false},
		"lower_name": {"text", false, false, true, false},
		"born":       {"date", false, false, false, false},
		"tenant":     {"integer", true, false, false, false},
		"code":       {"text", false, false, false, false},
		"nick":       {"text", false, false, false, false},
		"created_at": {"timestamp with time zone", true, true, false, false},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	indexes := map[string]string{}
	for _, x := range users.UniqueIndexes {
		indexes[x.Name] = fmt.Sprintf("%v %v %s", x.Columns, x.Equals, x.unusable())
	}
	const eq = "OPERATOR(pg_catalog.=)"
	if d := cmp.Diff(map[string]string{
		"users_pkey":                 "[id] [" + eq + "] ",
		"users_email_key":            "[email] [" + eq + "] ",
		"users_tenant_name_born_key": "[tenant name] [" + eq + " " + eq + "] ",
		"users_code_key":             "[code] [" + eq + "] is deferrable",
		"users_nick":                 "[nick] [" + eq + "] is partial (it has a WHERE clause)",
		"users_born":                 "[born] [" + eq + "] is on an expression",
		"users_collated":             "[name] [" + eq + "] has a collation or operator class of its own",
	}, indexes); d != "" {
		t.Error(d)
	}

	typed, err := Describe(s.ctx, s.conn, "app", "typed")
	if err != nil {
		t.Fatal(err)
	}
	if c := typed.Column("d"); c.BaseOID != oidVarchar || maxLength(c) != 3 || !c.HasDefault || kindOf(c) != kindVarchar {
		t.Errorf("domain over a domain: %+v", c)
	}
	if typed.HasInsertTriggers || !typed.HasUpdateTriggers {
		t.Errorf("triggers: %+v", typed)
	}
	parted, err := Describe(s.ctx, s.conn, "app", "parted")
	if err != nil {
		t.Fatal(err)
	}
	if parted.Kind != 'p' || !parted.HasInsertTriggers {
		t.Errorf("trigger of a partition: %+v", parted)
	}
	s.exec("SET search_path = app")
	if again, err := Describe(s.ctx, s.conn, "", "users"); err != nil || again.OID != users.OID {
		t.Errorf("by search path: %+v, %v", again, err)
	}
}

func TestDescribeNoTable(t *testing.T) {
	t.Parallel()
	s := setup(t, checkSchema)
	for _, tt := range []struct{ schema, name, want string }{
		{"", "users", "no such table: users (did you mean app.users?)"},
		{"app", "user", "no such table: app.user (did you mean app.users?)"},
		{"public", "Users", "no such table: public.Users (did you mean app.users?)"},
		{"", "nothing_like_it", "no such table: nothing_like_it"},
		{"nowhere", `x"; --`, `no such table: nowhere.x"; --`},
	} {
		_, err := Describe(s.ctx, s.conn, tt.schema, tt.name)
		if !errors.Is(err, ErrNoTable) || err.Error() != tt.want {
			t.Errorf("%s.%s: %v", tt.schema, tt.name, err)
		}
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	s := setup(t, checkSchema)
	tests := []struct {
		name, table string
		spec        Spec
		want        []string
	}{
		{"fine", "users", Spec{Columns: []string{"email", "tenant"}, Match: []string{"email"}, SetOnChange: []string{"created_at"}}, nil},
		{"any order of the key", "users", Spec{Columns: []string{"email", "name", "tenant"}, Match: []string{"name", "tenant"}}, nil},
		{"partitioned", "parted", Spec{Columns: []string{"a"}}, nil},
		{"domain default", "typed", Spec{Columns: []string{"e"}}, nil},
		{"view", "v", Spec{Columns: []string{"x"}}, []string{`table: "app"."v" is a view (name a table)`}},
		{"rules", "ruled", Spec{Columns: []string{"a"}}, []string{
			`table: "app"."ruled" has rules on INSERT or UPDATE, which COPY ignores and ON CONFLICT refuses (replace the rules by triggers)`}},
		{"nothing", "typed", Spec{}, []string{"columns: no columns to write"}},
		{"columns", "users", Spec{Columns: []string{"emial", "email", "email", "lower_name", "tenant"}}, []string{
			`columns: table "app"."users" has no column "emial" (did you mean "email"?)`,
			`columns: column "email" is written twice`,
			`columns: column "lower_name" is computed from other columns and cannot be written (leave it out)`}},
		{"suggestion", "users", Spec{Columns: []string{"emails", "email", "tenant"}}, []string{
			`columns: table "app"."users" has no column "emails" (did you mean "email"?)`}},
		{"unwritten", "users", Spec{Columns: []string{"email"}}, []string{
			`columns: column "tenant" is NOT NULL, has no default and is not written (write it, or give it a default)`}},
		{"identity", "users", Spec{Columns: []string{"id", "email", "tenant"}, Match: []string{"email"}, OnConflict: Update}, []string{
			`columns: column "id" is GENERATED ALWAYS AS IDENTITY and cannot be updated (leave it out, or match on it)`}},
		{"set", "users", Spec{Columns: []string{"email", "tenant", "born"}, SetOnInsert: []string{"born", "nick", "created_at", "created_at", "lower_name"}}, []string{
			`set_on_insert: column "born" is written from the input too (choose one of the two)`,
			`set_on_insert: column "nick" has type text and cannot hold a time (use timestamptz, timestamp or date)`,
			`set_on_insert: column "created_at" is listed twice`,
			`set_on_insert: column "lower_name" is computed from other columns and cannot be written`}},
		{"match unwritten", "users", Spec{Columns: []string{"email", "tenant"}, Match: []string{"nick", "mail"}}, []string{
			`match: match column "nick" is not written (add it to the columns)`,
			`match: table "app"."users" has no column "mail" (did you mean "email"?)`}},
		{"match unwritten, without index", "users", Spec{Columns: []string{"email", "tenant"}, Match: []string{"tenant", "email", "id"}}, []string{
			`match: match column "id" is not written (add it to the columns)`,
			`match: there is no unique index on exactly (tenant, email, id) (keys that exist: (id), (email), (tenant, name); or create one: CREATE UNIQUE INDEX ON "app"."users" ("tenant", "email", "id"))`}},
		{"match partial", "users", Spec{Columns: []string{"email", "tenant", "nick"}, Match: []string{"nick"}}, []string{
			`match: unique index "users_nick" on (nick) is partial (it has a WHERE clause) and cannot serve as match key (create a plain unique index on these columns)`}},
		{"match deferrable", "users", Spec{Columns: []string{"email", "tenant", "code"}, Match: []string{"code"}}, []string{
			`match: unique index "users_code_key" on (code) is deferrable and cannot serve as match key (create a plain unique index on these columns)`}},
		{"match without index", "users", Spec{Columns: []string{"email", "tenant"}, Match: []string{"tenant"}}, []string{
			`match: there is no unique index on exactly (tenant) (keys that exist: (id), (email), (tenant, name); or create one: CREATE UNIQUE INDEX ON "app"."users" ("tenant"))`}},
	}
	for _, tt := range tests {
		table, err := Describe(s.ctx, s.conn, "app", tt.table)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, p := range table.Check(tt.spec) {
			got = append(got, p.String())
		}
		if d := cmp.Diff(tt.want, got); d != "" {
			t.Errorf("%s: %s", tt.name, d)
		}
		if _, err := NewWriter(table, tt.spec); (err != nil) != (tt.want != nil) || err != nil && !strings.Contains(err.Error(), tt.want[0]) {
			t.Errorf("%s: NewWriter: %v", tt.name, err)
		}
	}
}

func TestCheckRowSecurity(t *testing.T) {
	t.Parallel()
	s := setup(t, "CREATE TABLE t (a int); ALTER TABLE t ENABLE ROW LEVEL SECURITY")
	if p := s.describe("t").Check(Spec{Columns: []string{"a"}}); p != nil {
		t.Errorf("for the owner: %v", p)
	}
	role := "r" + s.rows("SELECT md5(current_database())")[0][0]
	s.exec("CREATE ROLE " + role + "; GRANT ALL ON t TO " + role + "; SET ROLE " + role)
	t.Cleanup(func() { s.exec("RESET ROLE; DROP OWNED BY " + role + "; DROP ROLE " + role) })
	if p := s.describe("t").Check(Spec{Columns: []string{"a"}}); len(p) != 1 || p[0].Field != "table" {
		t.Errorf("for another role: %v", p)
	}
}

// A role that may write the table may still lack the right to the temporary table that rows wait in.
func TestCheckTemporaryTables(t *testing.T) {
	t.Parallel()
	s := setup(t, "CREATE TABLE t (a int UNIQUE)")
	role, database := "r"+s.rows("SELECT md5(current_database())")[0][0], s.rows("SELECT current_database()")[0][0]
	s.exec("REVOKE TEMPORARY ON DATABASE " + quote(database) + " FROM PUBLIC; CREATE ROLE " + role + "; GRANT ALL ON t TO " + role + "; SET ROLE " + role)
	t.Cleanup(func() { s.exec("RESET ROLE; DROP OWNED BY " + role + "; DROP ROLE " + role) })
	spec := Spec{Columns: []string{"a"}, Match: []string{"a"}}
	grant := s.rows(fmt.Sprintf("SELECT format('GRANT TEMPORARY ON DATABASE %%I TO %%I', current_database(), '%s')", role))[0][0]
	want := fmt.Sprintf(`table: role %q may not create temporary tables in this database, and an import needs one (%s)`, role, grant)
	problems := s.describe("t").Check(spec)
	if len(problems) != 1 || problems[0].String() != want {
		t.Errorf("problems %v, want %s", problems, want)
	}
	if _, err := NewWriter(s.describe("t"), spec); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("a writer: %v", err)
	}
	s.exec("RESET ROLE; " + grant + "; SET ROLE " + role)
	if problems := s.describe("t").Check(spec); problems != nil {
		t.Errorf("after the hint: %v", problems)
	}
}
