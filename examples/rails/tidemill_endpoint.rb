# frozen_string_literal: true

require "active_job"
require "json"
require "openssl"

# A Rack application that performs the jobs of TidemillAdapter; in config/routes.rb:
#
#   mount TidemillEndpoint.new(ENV.fetch("WEBHOOK_SECRET")), at: "/tidemill"
#
# It answers 200 when the job has been performed, discarded or enqueued again by its own retry_on; 401 to who does not
# know the secret; and 500 when the job raised, upon which Tidemill tries again.
class TidemillEndpoint
  TOLERANCE = 300 # seconds between the two clocks
  MAX_BODY = 1 << 20

  def initialize(secret)
    @key = secret.start_with?("whsec_") ? secret.delete_prefix("whsec_").unpack1("m") : secret
    raise ArgumentError, "the secret has fewer than 16 bytes" if @key.bytesize < 16
  end

  def call(env)
    return answer(405, "only POST") unless env["REQUEST_METHOD"] == "POST"

    body = env["rack.input"].read(MAX_BODY + 1).to_s
    return answer(413, "the body is longer than #{MAX_BODY} bytes") if body.bytesize > MAX_BODY
    return answer(401, "the signature is wrong or old") unless verified?(env, body)

    perform(JSON.parse(body))
  end

  private

  def perform(run)
    ActiveJob::Base.execute(run.fetch("params").merge("provider_job_id" => run.fetch("run")))
    answer(200, "done")
  rescue StandardError => e
    answer(500, "#{e.class}: #{e.message}") # becomes the run's error
  end

  # https://www.standardwebhooks.com: there is a signature for each secret while one is being replaced.
  def verified?(env, body)
    id, time, signatures = %w[ID TIMESTAMP SIGNATURE].map { |name| env["HTTP_WEBHOOK_#{name}"].to_s }
    return false unless time.match?(/\A\d{1,12}\z/) && (Time.now.to_i - time.to_i).abs <= TOLERANCE

    ours = "v1,#{[OpenSSL::HMAC.digest("SHA256", @key, "#{id}.#{time}.#{body}")].pack("m0")}"
    signatures.split.any? do |theirs|
      theirs.bytesize == ours.bytesize && OpenSSL.fixed_length_secure_compare(theirs, ours)
    end
  end

  def answer(status, text) = [status, { "content-type" => "text/plain; charset=utf-8" }, [text]]
end
