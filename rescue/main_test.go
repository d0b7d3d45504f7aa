package rescue_test

import (
	"testing"

	"github.com/tidemill/tidemill/internal/testdb"
)

func TestMain(m *testing.M) { testdb.Main(m) }
