# frozen_string_literal: true

# The Rails example, and jobs that show the rest of what Active Job does.
require_relative "../rails/app"

class LaterJob < ActiveJob::Base
  queue_as :low
  queue_with_priority 3

  def perform; end
end

class FlakyJob < ActiveJob::Base
  retry_on ArgumentError, wait: 0.seconds, attempts: 3

  def perform
    raise ArgumentError, "attempt #{executions}" if executions < 3
  end
end

class DiscardedJob < ActiveJob::Base
  discard_on ArgumentError

  def perform = raise(ArgumentError)
end

class BrokenJob < ActiveJob::Base
  def perform = raise("no such luck")
end

# POST {"class": …, "set": {…}}: a transaction that enqueues twice.
enqueue = lambda do |env|
  form = JSON.parse(env["rack.input"].read, symbolize_names: true)
  jobs = ActiveRecord::Base.cache do
    ActiveRecord::Base.transaction do
      job = Object.const_get(form[:class]).set(**form.fetch(:set, {}))
      Array.new(2) { job.perform_later.provider_job_id }
    end
  end
  [200, { "content-type" => "application/json" }, [JSON.generate(jobs)]]
rescue ActiveRecord::StatementInvalid => e
  [400, { "content-type" => "text/plain" }, ["#{e.cause.class}: #{e.message}"]]
end

map("/enqueue") { run enqueue }
map("/signup") { run SignUp.new }
map("/tidemill") { run TidemillEndpoint.new(ENV.fetch("WEBHOOK_SECRET")) }
