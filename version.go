package tidemill

import "runtime/debug"

// Version is the module's version, or "devel" in a build from a checkout.
func Version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "devel"
	}
	const module = "github.com/tidemill/tidemill"
	if info.Main.Path == module && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	for _, dep := range info.Deps {
		if dep.Path == module && dep.Version != "" {
			return dep.Version
		}
	}
	return "devel"
}
