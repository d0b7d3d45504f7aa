package config_test

import (
	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/workers"
)

// allKinds are the built-in ones.
func allKinds() []config.Kind { return workers.Configs() }
