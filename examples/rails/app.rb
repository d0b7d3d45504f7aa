# frozen_string_literal: true

# What Rails would load by itself: a connection, the adapter, and the application's own classes.
require "active_record"
require "active_job"
require "global_id"
require_relative "tidemill_adapter"
require_relative "tidemill_endpoint"

ActiveRecord::Base.establish_connection(ENV.fetch("DATABASE_URL"))
ActiveJob::Base.queue_adapter = :tidemill
ActiveJob::Base.logger = ActiveSupport::Logger.new($stderr)
GlobalID.app = "sign-up"
ActiveRecord::Base.include(GlobalID::Identification)

class User < ActiveRecord::Base
  self.table_name = "app.users"
end

class Subscription < ActiveRecord::Base
  self.table_name = "app.subscriptions"
end

class Welcome < ActiveRecord::Base
  self.table_name = "app.welcomes"
end

class WelcomeJob < ActiveJob::Base
  # A job may be performed twice. Its id stays the same, and insert leaves alone what is there.
  def perform(user) = Welcome.insert({ id: job_id, user_id: user.id })
end

# SignUp is what a controller's action would be: POST {"email": …, "plan": …}.
class SignUp
  def call(env)
    form = JSON.parse(env["rack.input"].read)
    user = ActiveRecord::Base.transaction do
      User.create!(email: form["email"]).tap do |user|
        WelcomeJob.perform_later(user)
        Subscription.create!(user_id: user.id, plan: form["plan"])
      end
    end
    answer(201, id: user.id)
  rescue ActiveRecord::InvalidForeignKey
    answer(422, error: "there is no such plan") # no user, and no job
  end

  private

  def answer(status, body) = [status, { "content-type" => "application/json" }, [JSON.generate(body)]]
end
