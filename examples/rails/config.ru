# frozen_string_literal: true

require_relative "app"

map("/signup") { run SignUp.new }
map("/tidemill") { run TidemillEndpoint.new(ENV.fetch("WEBHOOK_SECRET")) }
