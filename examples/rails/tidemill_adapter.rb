# frozen_string_literal: true

require "active_job"
require "active_record"
require "json"
require "time"

module ActiveJob
  module QueueAdapters
    # Enqueues with the SQL function tidemill.start on Active Record's own connection, so that the job is there when the
    # surrounding transaction commits, and not otherwise.
    #
    #   config.active_job.queue_adapter = :tidemill
    #
    # Each Active Job is a run of the configured job "active-job", which TidemillEndpoint performs. Its queue is one of
    # tidemill.yaml, its priority from 1 (first) to 4.
    class TidemillAdapter < (const_defined?(:AbstractAdapter, false) ? AbstractAdapter : Object) # Rails 7.2 has one
      START = "SELECT tidemill.start($1, $2::jsonb, scheduled_at => $3::timestamptz, queue => $4, priority => $5::integer)"

      def initialize(job: "active-job")
        super()
        @job = job
      end

      # Rails 7.2 asks: to wait for the commit would open the gap that this adapter closes.
      def enqueue_after_transaction_commit? = false

      def enqueue(job) = start(job, nil)

      # timestamp is in seconds since 1970, with a fraction.
      def enqueue_at(job, timestamp) = start(job, Time.at(timestamp).utc.iso8601(6))

      private

      def start(job, at)
        binds = [@job, JSON.generate(job.serialize), at, job.queue_name, job.priority].map do |value|
          ActiveRecord::Relation::QueryAttribute.new("", value, ActiveModel::Type::Value.new)
        end
        # The connection is the one of this thread, and so of its transaction. exec_query goes past the query cache.
        ActiveRecord::Base.connection_pool.with_connection do |connection|
          job.provider_job_id = connection.exec_query(START, "Tidemill", binds).rows.dig(0, 0)
        end
      end
    end
  end
end
