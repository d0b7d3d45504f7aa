package tidemill

import (
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/workers"
)

// No part of a password is in an error, however it is written and whatever is wrong.
func TestPasswordsNeverShow(t *testing.T) {
	t.Parallel()

	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := closed.Addr().String()
	host, port, _ := net.SplitHostPort(address)
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		"postgres://ada:hunter2@" + address + "/db",
		"postgres://ada:hun@ter2@" + address + "/db",
		"postgres://ada:hun@ter2:hun@" + address + "/db?sslmode=nonsense",
		"postgres://ada:hunter2@" + address + "/db?sslmode=nonsense",
		"postgres://ada:hun/ter2@" + address + "/db",
		"postgres://ada:hun?ter2@" + address + "/db",
		"postgres://ada:hun#ter2@" + address + "/db",
		"postgres://ada:hun%zzter2@" + address + "/db",
		"postgres://ada:hun%zz@ter2@" + address + "/db",
		"postgres://ada:hun:ter2@" + address + "/db",
		"postgres://ada:hun ter2@" + address + "/db",
		"postgres://" + address + "/db?user=ada&password=hun@ter2&sslmode=nonsense",
		fmt.Sprintf("host=%s port=%s user=ada password=hunter2", host, port),
		fmt.Sprintf("host=%s port=%s user=ada password='hun @ter2'", host, port),
		fmt.Sprintf(`host=%s port=%s user=ada password='hun\'ter2' sslmode=nonsense`, host, port),
		fmt.Sprintf(`host=%s port=%s user=ada password = 'hun ter2' sslmode=nonsense`, host, port),
		fmt.Sprintf(`host=%s port=%s user=ada password=hun\ ter2 sslmode=nonsense`, host, port),
		fmt.Sprintf(`host=%s user=ada password='hun ter2`, host),
	} {
		cfg := config.Default()
		cfg.Database.URL = text
		app, err := New(t.Context(), cfg, nil)
		if err == nil {
			app.Close()
			t.Fatalf("%s: connected", text)
		}
		quoted, encodeErr := config.Parse("tidemill.yaml", []byte(fmt.Sprintf("database: {url: %q}\n", text)), &config.Opts{Kinds: workers.Configs()})
		all := err.Error() + fmt.Sprint(encodeErr)
		if quoted != nil {
			all += (&App{Config: quoted}).DatabaseName()
		}
		for _, part := range []string{"hun", "ter2"} {
			if strings.Contains(all, part) {
				t.Errorf("%s\n%s", text, all)
			}
		}
		if strings.Count(err.Error(), "database") == 0 {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestDatabaseURLsThatAreRight(t *testing.T) {
	t.Parallel()

	for _, text := range []string{
		"postgres://ada:hun%40ter2@host/db", "postgres://host:5432/db?application_name=a@b", "postgresql://ada@h1:1,h2:2/db", "postgres://[::1]/db?options=a@b",
		"postgres:///db?host=/tmp&user=a@b", "host=/tmp user=a", "postgres://%2Ftmp/db",
	} {
		if problem, _ := config.CheckDatabaseURL(text); problem != "" {
			t.Errorf("%s %s", text, problem)
		}
	}
}
