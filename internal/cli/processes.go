package cli

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tidemill/tidemill/rescue"
)

func (m *Main) processesCmd() *cobra.Command {
	return &cobra.Command{
		Use: "processes", Short: "List worker processes", Args: args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			app, err := m.open(cmd.Context())
			if err != nil {
				return err
			}
			defer app.Close()
			infos, err := rescue.List(cmd.Context(), app.Pool, app.Schema)
			if err != nil {
				return err
			}
			if m.json {
				if infos == nil {
					infos = []*rescue.Info{}
				}
				return m.printJSON(infos)
			}
			rows := make([][]string, len(infos))
			for i, info := range infos {
				rows[i] = []string{
					info.ID, processState(info), strconv.Itoa(info.Running), queueList(info.Queues), info.Version,
					ago(info.StartedAt), span(info.BeatAge) + " ago",
				}
			}
			return m.table("no worker processes", []string{"PROCESS", "STATE", "RUNNING", "QUEUES", "VERSION", "STARTED", "LAST BEAT"}, rows)
		},
	}
}

func processState(info *rescue.Info) string {
	switch {
	case info.FencedAt != nil:
		return "dead"
	case !info.Alive():
		return "silent"
	case info.Draining:
		return "draining"
	default:
		return "alive"
	}
}

func queueList(raw json.RawMessage) string {
	var queues map[string]int
	if err := json.Unmarshal(raw, &queues); err != nil {
		return string(raw)
	}
	parts := make([]string, 0, len(queues))
	for _, name := range slices.Sorted(maps.Keys(queues)) {
		parts = append(parts, fmt.Sprintf("%s:%d", name, queues[name]))
	}
	return strings.Join(parts, " ")
}
